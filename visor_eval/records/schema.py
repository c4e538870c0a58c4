"""What every record shares: a schema version, and dictionaries that are checked on the way in.

A record is a frozen, keyword-only dataclass. ``to_dict`` gives plain JSON values; ``from_dict`` refuses what it does
not understand (unknown keys, missing keys, wrong types, a newer version) instead of guessing.
"""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import ClassVar, NamedTuple, Self, Union, get_args, get_origin

_PLAIN = frozenset((str, int, float, bool))

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


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
        if not form.hints.keys() >= data.keys() >= form.required:
            known = list(form.hints)
            if unknown := sorted(set(data) - set(known)):
                raise SchemaError(f"{cls.__name__}: unknown keys {unknown}; valid keys: {known}")
            raise SchemaError(f"{cls.__name__}: missing keys {sorted(form.required - set(data))}")
        values = {
            name: value
            if type(value) is (hint := form.hints[name]) and hint in _PLAIN  # nothing to check or rebuild
            else _typed(hint, value, f"{cls.__name__}.{name}")
            for name, value in data.items()
        }
        try:
            return cls(**values)  # type: ignore[arg-type]
        except SchemaError:
            raise
        except ValueError as error:
            raise SchemaError(f"{cls.__name__}: {error}") from error


class _Form(NamedTuple):
    """What a record's dictionary must look like."""

    hints: dict[str, object]  # field -> its type
    required: frozenset[str]


@cache
def _form(cls: "type[Record]") -> _Form:
    """Worked out once per class: a run has tens of thousands of records."""
    hints = typing.get_type_hints(cls)
    required = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    return _Form({field.name: hints[field.name] for field in fields(cls)}, frozenset(required))


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


def _typed(hint: object, value: object, where: str) -> object:
    """Check ``value`` against ``hint`` and rebuild tuples and nested records."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        if value is None and len(options) < len(get_args(hint)):
            return None
        if len(options) == 1:
            return _typed(options[0], value, where)
        for option in options:
            try:
                return _typed(option, value, where)
            except SchemaError:
                continue
        raise SchemaError(f"{where}: {value!r} is none of {options}")
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise SchemaError(f"{where}: expected a list, got {value!r}")
        item_hint = get_args(hint)[0]
        return tuple(_typed(item_hint, item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise SchemaError(f"{where}: expected a dictionary, got {value!r}")
        return {key: _typed(get_args(hint)[1], item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(hint, type):
        return _typed_plain(hint, value, where)
    return value


def _typed_plain(hint: type, value: object, where: str) -> object:
    if issubclass(hint, Record):
        if isinstance(value, hint):
            return value
        if not isinstance(value, Mapping):
            raise SchemaError(f"{where}: expected a dictionary, got {value!r}")
        return hint.from_dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool) and (
        not isinstance(value, hint) or (hint is not bool and isinstance(value, bool))
    ):
        raise SchemaError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
