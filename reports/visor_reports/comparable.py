"""Which runs, sweeps and CKA runs may stand side by side."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from visor_eval.records import RunRecord


class Recorded(Protocol):
    """Anything that was run: a run, a sweep, a CKA run."""

    @property
    def run(self) -> RunRecord:
        """Its record."""
        ...


_Item = TypeVar("_Item", bound=Recorded)


def side_by_side(items: Iterable[_Item]) -> list[list[_Item]]:
    """Parts without two that had other data for the same task; each item joins the first part that it agrees with."""
    parts: list[list[_Item]] = []
    for item in items:
        for part in parts:
            if all(item.run.same_data(member.run) for member in part):
                part.append(item)
                break
        else:
            parts.append([item])
    return parts
