"""What every record shares: a schema version, and dictionaries that are checked on the way in.

A record is a frozen, keyword-only dataclass. ``to_dict`` gives plain JSON values; ``from_dict`` refuses what it does
not understand (unknown keys, missing keys, wrong types, a newer version) instead of guessing.
"""

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import ClassVar, NamedTuple, Self, Union, get_args, get_origin

_PLAIN = frozenset((str, int, float, bool))

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


_Reader = Callable[[object, str], object]  # (value, where it stands) -> value; SchemaError


class SchemaError(ValueError):
    """A stored record does not have the form that this version of visor-eval reads."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """Base of all records; a subclass that is stored on its own adds ``schema_version``."""

    SCHEMA_VERSION: ClassVar[int] = 1  # newest version that this code reads

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values, one key per field, nested records as nested dictionaries."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """Rebuild a record from ``to_dict``'s output.

        Raises:
            SchemaError: unknown or missing keys, a value of the wrong type, or a newer schema version.
        """
        if not isinstance(data, Mapping):
            raise SchemaError(f"{cls.__name__}: expected a dictionary, got {type(data).__name__}")
        version = data.get("schema_version", cls.SCHEMA_VERSION)
        if not isinstance(version, int) or version > cls.SCHEMA_VERSION:
            raise SchemaError(
                f"{cls.__name__}: schema version {version!r} is newer than {cls.SCHEMA_VERSION}, the newest that this "
                "visor-eval reads; upgrade visor-eval"
            )
        form = _form(cls)
        if not form.readers.keys() >= data.keys() >= form.required:
            known = list(form.readers)
            if unknown := sorted(set(data) - set(known)):
                raise SchemaError(f"{cls.__name__}: unknown keys {unknown}; valid keys: {known}")
            raise SchemaError(f"{cls.__name__}: missing keys {sorted(form.required - set(data))}")
        readers = form.readers
        values = {name: readers[name](value, f"{cls.__name__}.{name}") for name, value in data.items()}
        try:
            return cls(**values)  # type: ignore[arg-type]
        except SchemaError:
            raise
        except ValueError as error:
            raise SchemaError(f"{cls.__name__}: {error}") from error


class _Form(NamedTuple):
    """What a record's dictionary must look like."""

    readers: dict[str, "_Reader"]  # field -> what checks and rebuilds its value
    required: frozenset[str]


@cache
def _form(cls: "type[Record]") -> _Form:
    """Worked out once per class: a run has tens of thousands of records."""
    hints = typing.get_type_hints(cls)
    required = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    return _Form({field.name: _reader(hints[field.name]) for field in fields(cls)}, frozenset(required))


def _plain(value: object) -> JsonValue:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"not a plain value: {value!r} ({type(value).__name__}); convert it before recording")


def _reader(hint: object) -> _Reader:
    """What checks a value against ``hint`` and rebuilds tuples and nested records."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        options = [option for option in arguments if option is not type(None)]
        return _union_reader(options, optional=len(options) < len(arguments))
    if origin is tuple:
        return _tuple_reader(arguments[0])
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_reader(_reader(arguments[1]))
    if isinstance(hint, type) and issubclass(hint, Record):
        return _record_reader(hint)
    if hint in _PLAIN:
        return _plain_reader(hint)  # type: ignore[arg-type]
    return lambda value, where: value


def _union_reader(options: list[object], *, optional: bool) -> _Reader:
    readers = [_reader(option) for option in options]

    def read(value: object, where: str) -> object:
        if value is None and optional:
            return None
        if len(readers) == 1:
            return readers[0](value, where)
        for reader in readers:
            try:
                return reader(value, where)
            except SchemaError:
                continue
        raise SchemaError(f"{where}: {value!r} is none of {options}")

    return read


def _tuple_reader(item_hint: object) -> _Reader:
    item = _reader(item_hint)
    plain = frozenset((item_hint,)) if item_hint in _PLAIN else frozenset()

    def read(value: object, where: str) -> object:
        if not isinstance(value, (list, tuple)):
            raise SchemaError(f"{where}: expected a list, got {value!r}")
        if plain.issuperset(map(type, value)):  # nothing to rebuild
            return tuple(value)
        return tuple(item(one, f"{where}[{index}]") for index, one in enumerate(value))

    return read


def _mapping_reader(item: _Reader) -> _Reader:
    def read(value: object, where: str) -> object:
        if not isinstance(value, Mapping):
            raise SchemaError(f"{where}: expected a dictionary, got {value!r}")
        return {key: item(one, f"{where}[{key!r}]") for key, one in value.items()}

    return read


def _record_reader(hint: "type[Record]") -> _Reader:
    def read(value: object, where: str) -> object:
        if isinstance(value, hint):
            return value
        if not isinstance(value, Mapping):
            raise SchemaError(f"{where}: expected a dictionary, got {value!r}")
        return hint.from_dict(value)

    return read


def _plain_reader(hint: type) -> _Reader:
    def read(value: object, where: str) -> object:
        if type(value) is hint:
            return value
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not isinstance(value, hint) or isinstance(value, bool):
            raise SchemaError(f"{where}: expected {hint.__name__}, got {value!r}")
        return value

    return read
