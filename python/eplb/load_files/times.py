"""The order of windows by their names: numbers, dates, times, and texts with a number."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    # Of a window: larger is newer.
    Key = Decimal | tuple[int, ...]

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
_TIME = r"(?P<h>[0-9]{1,2}):(?P<m>[0-9]{2})(:(?P<s>[0-9]{2}([.,][0-9]{1,12})?))?"
_CLOCK = (
    rf"([T ] *{_TIME} ?(?P<half>[AaPp][Mm])?)? ?(?P<zone>Z|UTC|GMT|[+-][0-9]{{2}}:?[0-9]{{2}})?"
)
_YEAR_FIRST = re.compile(
    rf"(?P<year>[0-9]{{4}})(?P<mark>[-/.])(?P<a>[0-9]{{1,2}})(?P=mark)(?P<b>[0-9]{{1,2}}){_CLOCK}",
    re.ASCII,
)
_YEAR_LAST = re.compile(
    rf"(?P<a>[0-9]{{1,2}})(?P<mark>[-/.])(?P<b>[0-9]{{1,2}})(?P=mark)(?P<year>[0-9]{{4}}){_CLOCK}",
    re.ASCII,
)
_TIME_ALONE = re.compile(rf"((?P<days>[0-9]{{1,6}}) days?,? )?{_TIME}", re.ASCII)
_WITH_UNIT = re.compile(
    r"(?P<number>[+-]?[0-9]{1,20}(\.[0-9]{1,20})?) ?(?P<unit>[A-Za-z]+)", re.ASCII
)
# A number beside these may count backwards, or begin again.
_NOT_IN_ORDER = re.compile(r"ago|before|minus|left|\b[ap]\.?m\b", re.IGNORECASE)
_BACKWARDS = re.compile(r"(t|now)? ?-", re.IGNORECASE)
_YEAR = re.compile(r"(19|20)[0-9]{2}([01][0-9][0-3][0-9])?", re.ASCII)

_HOUR, _DAY = 3600, 86400


def in_time(names: Sequence[str]) -> list[Key] | None:
    """A key of each name by which they are in order, the oldest first; None if that is not certain.

    Args:
        names: different ones, in the order of the file.
    """
    if all(_NUMBER.fullmatch(name) for name in names):
        return [Decimal(name) for name in names]
    for dates in (_YEAR_FIRST, _YEAR_LAST):
        if (found := _all(dates, names)) is not None:
            return _dates(found, year_last=dates is _YEAR_LAST)
    if (found := _all(_TIME_ALONE, names)) is not None:
        return _times(found)
    found = _all(_WITH_UNIT, names)
    if found is not None and len({match["unit"] for match in found}) == 1:
        certain = not _NOT_IN_ORDER.search(found[0]["unit"])
        return [Decimal(match["number"]) for match in found] if certain else None
    return _numbered(names)


def _all(pattern: re.Pattern[str], names: Sequence[str]) -> list[re.Match[str]] | None:
    found = []
    for name in names:
        if (match := pattern.fullmatch(name)) is None:
            return None
        found.append(match)
    return found


def _dates(found: Sequence[re.Match[str]], *, year_last: bool) -> list[Key] | None:
    """Dates, maybe with a time: of 3/4/2026, both orders of day and month, if both give one order."""
    if len({match["zone"] is None for match in found}) > 1:
        return None
    keys = _moments(found, "a", "b")
    if not year_last:
        return keys
    other = _moments(found, "b", "a")
    if keys is None or other is None:
        return other if keys is None else keys
    return keys if _order(keys) == _order(other) else None


def _moments(found: Sequence[re.Match[str]], month: str, day: str) -> list[Key] | None:
    """Seconds since a day, in UTC if there are zones; None if a date or time is not one."""
    keys: list[Key] = []
    for match in found:
        try:
            days = date(int(match["year"]), int(match[month]), int(match[day])).toordinal()
        except ValueError:
            return None
        if (seconds := _seconds(match)) is None or seconds >= _DAY:
            return None
        keys.append(days * _DAY + seconds - _offset(match["zone"]))
    return keys


def _seconds(match: re.Match[str]) -> Decimal | None:
    """The seconds of a time, which may be that of a clock with 12 hours; None if it is not one."""
    hours, minutes = int(match["h"] or 0), int(match["m"] or 0)
    seconds = Decimal((match["s"] or "0").replace(",", "."))
    half = match.groupdict().get("half")
    if minutes >= 60 or seconds >= 60 or (half and not 1 <= hours <= 12):
        return None
    if half:
        hours = hours % 12 + 12 * (half.lower() == "pm")
    return hours * _HOUR + minutes * 60 + seconds


def _offset(zone: str | None) -> int:
    """The seconds that a zone is before UTC."""
    if zone is None or zone[0] not in "+-":
        return 0
    seconds = int(zone[1:3]) * _HOUR + int(zone[-2:]) * 60
    return -seconds if zone[0] == "-" else seconds


def _times(found: Sequence[re.Match[str]]) -> list[Key] | None:
    """Times since a start, or of a day: those around midnight are in order too."""
    keys: list[Decimal] = []
    for match in found:
        seconds = _seconds(match)
        # Of 59:30 and 1:00:30, one has no hours.
        if seconds is None or (match["s"] is None) != (found[0]["s"] is None):
            return None
        keys.append(int(match["days"] or 0) * _DAY + seconds)
    ordered = sorted(set(keys))
    of_a_day = ordered[-1] < _DAY and not any(match["days"] for match in found)
    if not of_a_day or ordered[-1] - ordered[0] <= 12 * _HOUR or keys == ordered:
        return [*keys]
    gaps = [(high - low, high) for low, high in pairwise(ordered)]
    gap, first = max(gaps)
    if gap < 18 * _HOUR:
        return None
    return [key + _DAY if key < first else key for key in keys]


def _numbered(names: Sequence[str]) -> list[Key] | None:
    """Texts that differ by one number; or by several, if the first is a year."""
    words, *others = {tuple(re.split("[0-9]+", name)) for name in names}
    if others or _BACKWARDS.fullmatch(words[0]) or any(map(_NOT_IN_ORDER.search, words)):
        return None
    groups = [*zip(*(re.findall("[0-9]+", name) for name in names), strict=True)]
    differ = [at for at, group in enumerate(groups) if len(set(group)) > 1]
    for at in differ:
        if words[at] in (".", ",") and len({*map(len, groups[at])}) > 1:
            return None  # 1.9 and 1.10 may be numbers, or versions
    if len(differ) != 1 and not (groups and all(map(_YEAR.fullmatch, groups[0]))):
        return None
    return [tuple(int(groups[at][name]) for at in differ) for name in range(len(names))]


def _order(keys: Sequence[Key]) -> list[int]:
    return sorted(range(len(keys)), key=keys.__getitem__)
