"""Values and numbers as messages show them."""

from __future__ import annotations

from reprlib import Repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Python may refuse to write an integer of more bits than this in digits.
MOST_BITS = 2000


class _Short(Repr):
    def repr_int(self, x: int, level: int) -> str:
        """An integer of any size."""
        if x.bit_length() > MOST_BITS:
            return f"an integer of {x.bit_length()} bits"
        return super().repr_int(x, level)


_SHORT = _Short()


def short(value: Any) -> str:
    """A few words or digits for any value."""
    try:
        return _SHORT.repr(value)
    except Exception:  # noqa: BLE001 - any class can raise anything in __repr__
        return f"a value of type {type(value).__name__}"


def count(number: int, what: str, many: str | None = None) -> str:
    """``"1 layer"``, ``"2 layers"``; ``many`` is an irregular plural."""
    return f"{number} {what if number == 1 else many or what + 's'}"


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers as text: ``0, 1, 2, 7 to 60``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 3 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(parts)


def type_name(dtype: Any) -> str:
    """Name of a numpy dtype, without the width of strings: ``str``, not ``str96``."""
    name: str = {"S": "bytes", "U": "str"}.get(dtype.kind, dtype.name)
    return name
