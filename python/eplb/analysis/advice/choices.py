"""Which numbers of redundant slots to try."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from eplb.errors import EplbError, Parameter
from eplb.inputs.sizes import whole_number
from eplb.text import short

#: If a range is given without a step, at most so many numbers of it are tried.
MOST_POINTS = 9
# No more numbers than this are written down one by one.
_MOST_NUMBERS = 10_000
_EXAMPLES = "0..96, 0..96:16 or 0,16,32"


@dataclass(frozen=True)
class Choice:
    """Numbers of redundant slots for a number of GPUs: those to try, and those that cannot be."""

    tried: tuple[int, ...]
    #: The slots cannot be divided evenly over the GPUs.
    uneven: tuple[int, ...] = ()
    #: A GPU would have more slots than there are experts.
    too_many: tuple[int, ...] = ()


@dataclass(frozen=True)
class Redundant:
    """What a user asks for: these numbers, or some from ``least`` to ``most``."""

    numbers: tuple[int, ...] | None = None
    least: int = 0
    #: None: half as many as there are experts, and at least one more slot per GPU.
    most: int | None = None

    def on(self, num_gpus: int, num_experts: int) -> Choice:
        """The numbers for so many GPUs.

        Without numbers these are multiples of the GPUs, less what the experts do not fill; if there are
        more than ``MOST_POINTS``, so many of them, evenly spread, the first and the last included.
        """
        limit = num_experts * (num_gpus - 1)  # each expert on each GPU
        if self.numbers is not None:
            there = [number for number in self.numbers if number <= limit]
            return Choice(
                tuple(each for each in there if (num_experts + each) % num_gpus == 0),
                tuple(each for each in there if (num_experts + each) % num_gpus),
                tuple(number for number in self.numbers if number > limit),
            )
        most = max(num_experts // 2, 2 * num_gpus - 1) if self.most is None else self.most
        first = self.least + -(num_experts + self.least) % num_gpus
        able = range(first, min(most, limit) + 1, num_gpus)
        if len(able) > MOST_POINTS:
            last = len(able) - 1
            steps = MOST_POINTS - 1
            able_ones = [able[(2 * at * last + steps) // (2 * steps)] for at in range(MOST_POINTS)]
            return Choice(tuple(able_ones))
        return Choice(tuple(able))


def redundant_of(given: Any) -> Redundant:
    """Numbers of redundant slots: a number, a list, or a text such as ``"0..96"`` or ``"0..96:16"``.

    Raises:
        EplbError, TypeError: it is not understood.
    """
    if given is None:
        return Redundant()
    if isinstance(given, str):
        return _of_text(given)
    numbers = [*given] if hasattr(given, "__iter__") else [given]
    found = {whole_number("redundant", number, EplbError, least=0) for number in numbers}
    if not found:
        raise EplbError(
            f"there are no numbers of redundant slots; expected for example {_EXAMPLES}"
        )
    return Redundant(tuple(sorted(found)))


def _of_text(text: str) -> Redundant:
    """A range, with or without a step, or numbers with commas between."""
    found = re.fullmatch(r"\s*(\d{1,9})\s*\.\.\s*(\d{1,9})\s*(?::\s*(\d{1,9})\s*)?", text, re.ASCII)
    if found is None:
        if not re.fullmatch(r"\s*\d{1,9}(?:\s*,\s*\d{1,9})*\s*", text, re.ASCII):
            raise EplbError(
                Parameter("redundant", short(text)), f" is not understood; expected {_EXAMPLES}"
            )
        return Redundant(tuple(sorted({int(part) for part in text.split(",")})))
    least, most = int(found[1]), int(found[2])
    if most < least:
        raise EplbError(
            Parameter("redundant", text.strip()), f" ends before it begins; expected {_EXAMPLES}"
        )
    if found[3] is None:
        return Redundant(least=least, most=most)
    step = int(found[3])
    if step == 0 or (most - least) // step >= _MOST_NUMBERS:
        raise EplbError(
            Parameter("redundant", text.strip()),
            f" has {'no step' if step == 0 else 'too many numbers'}; expected {_EXAMPLES}",
        )
    return Redundant(tuple(range(least, most + 1, step)))
