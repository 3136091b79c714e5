"""Files of speeds: a number for each GPU."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

import eplb
from eplb.text import short

#: The largest speed that the core takes.
_MOST = 65_536
# No file of numbers of GPUs is longer.
_MOST_BYTES = 2**24


def speeds_in(path: str) -> list[int]:
    """The speeds in a file, a JSON list or numbers between commas, spaces or lines, as whole numbers.

    Only ratios count: 1 and 0.87 are 100 and 87.

    Raises:
        EplbError: it holds something else, or speeds that no whole numbers up to 65536 have.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as stream:
        content = stream.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise eplb.EplbError(f"{path}: it is too long for speeds of GPUs")
    speeds = [_speed(path, gpu, word) for gpu, word in enumerate(_words(path, content))]
    if not speeds:
        raise eplb.EplbError(f"{path}: there is no speed in it; expected a number for each GPU")
    unit = math.lcm(*(speed.denominator for speed in speeds))
    whole = [int(speed * unit) for speed in speeds]
    common = math.gcd(*whole)
    whole = [speed // common for speed in whole]
    if max(whole) > _MOST:
        raise eplb.EplbError(
            f"{path}: as whole numbers, speeds go up to {short(max(whole))}; expected at most {_MOST}",
            hint=["round them, for example to three digits"],
        )
    return whole


def _words(path: str, content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise eplb.EplbError(f"{path}: it is not text; expected a number for each GPU") from error
    if text.lstrip().startswith(("[", "{")):
        try:
            values = json.loads(text, parse_float=str, parse_int=str)
        except (ValueError, RecursionError) as error:
            raise eplb.EplbError(f"{path}: it is not JSON: {error}") from error
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise eplb.EplbError(f"{path}: expected a JSON list of numbers, one for each GPU")
        return values
    return [word for word in re.split(r"[\s,;]+", text) if word]


def _speed(path: str, gpu: int, word: str) -> Fraction:
    try:
        number = Decimal(word)
        # Exponents of a thousand digits are no speeds.
        plain = number.is_finite() and number > 0 and abs(number.adjusted()) < 20 and len(word) < 40
    except InvalidOperation:
        plain = False
    if not plain:
        raise eplb.EplbError(
            f"{path}: the speed of GPU {gpu} is {short(word)}; expected a positive number"
        )
    return Fraction(number)
