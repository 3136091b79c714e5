"""Values as messages show them."""

from __future__ import annotations

from reprlib import Repr
from typing import Any

#: Python itself may refuse to write an integer of more bits than these in digits.
MOST_BITS = 2000


class _Short(Repr):
    def repr_int(self, x: int, level: int) -> str:
        """Of any integer whatever."""
        if x.bit_length() > MOST_BITS:
            return f"an integer of {x.bit_length()} bits"
        return super().repr_int(x, level)


_SHORT = _Short()


def short(value: Any) -> str:
    """A few words or digits of a value, whatever it is."""
    try:
        return _SHORT.repr(value)
    except Exception:  # noqa: BLE001 - a stranger's, or a type with the name of a known one
        return f"a value of the type {type(value).__name__}"


def count(number: int, what: str, many: str | None = None) -> str:
    """``"1 layer"``, ``"2 layers"``; ``many`` where the plural is another."""
    return f"{number} {what if number == 1 else many or what + 's'}"


def type_name(dtype: Any) -> str:
    """A numpy type by name, without the widths of texts: ``str``, not ``str96``."""
    name: str = {"S": "bytes", "U": "str"}.get(dtype.kind, dtype.name)
    return name
