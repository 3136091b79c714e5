"""Files of speeds: a number for each GPU."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import eplb
from eplb.text import short

#: The largest speed that the core takes.
_MOST = 65_536
# No file of numbers of GPUs is longer.
_MOST_BYTES = 2**24
_FORMS = "expected a number for each GPU, or lines of gpu,speed"


def speeds_in(path: str) -> list[int]:
    """The speeds in a file, as whole numbers.

    It has numbers between commas, spaces or lines; or a line for each GPU, with its number before its
    speed; or a JSON list, or an object with the list ``gpu_speed``. A head of words and lines behind
    ``#`` are left out. Only ratios count: 1 and 0.87 are 100 and 87. Numbers with more digits are rounded
    to 65536ths of the largest.

    Raises:
        EplbError: it holds something else. OSError: it cannot be read.
    """
    with Path(path).open("rb") as stream:
        content = stream.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise eplb.EplbError(f"{path}: it is too long for speeds of GPUs")
    speeds = [_speed(path, gpu, word) for gpu, word in enumerate(_words(path, content))]
    if not speeds:
        raise eplb.EplbError(f"{path}: there is no speed in it; {_FORMS}")
    unit = math.lcm(*(speed.denominator for speed in speeds))
    whole = [int(speed * unit) for speed in speeds]
    common = math.gcd(*whole)
    whole = [speed // common for speed in whole]
    if (largest := max(whole)) > _MOST:
        whole = [max(1, (speed * _MOST + largest // 2) // largest) for speed in whole]
    return whole


def _words(path: str, content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise eplb.EplbError(f"{path}: it is not text; {_FORMS}") from error
    if text.lstrip().startswith(("[", "{")):
        return _of_json(path, text)
    lines = [line.split("#")[0] for line in text.splitlines()]
    rows = [words for line in lines if (words := re.findall(r"[^\s,;]+", line))]
    if rows and not any(map(_is_number, rows[0])):
        rows = rows[1:]  # a head
    numbered = [row[0] for row in rows] == [str(gpu) for gpu in range(len(rows))]
    if numbered and all(len(row) == 2 for row in rows):
        return [row[1] for row in rows]
    return [word for row in rows for word in row]


def _of_json(path: str, text: str) -> list[str]:
    try:
        values = json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise eplb.EplbError(f"{path}: it is not JSON: {error}") from error
    if isinstance(values, dict):
        values = values.get("gpu_speed")
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise eplb.EplbError(f"{path}: expected a JSON list of numbers, one for each GPU")
    return values


def _is_number(word: str) -> bool:
    return (
        re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?%?", word, re.IGNORECASE)
        is not None
    )


def _speed(path: str, gpu: int, word: str) -> Fraction:
    plain = _is_number(word) and len(word) < 40
    number = Decimal(word.removesuffix("%")) if plain else Decimal(0)
    # Exponents of a thousand digits are no speeds.
    if number <= 0 or abs(number.adjusted()) > 20:
        raise eplb.EplbError(f"{path}: the speed of GPU {gpu} is {short(word)}; {_FORMS}")
    return Fraction(number)
