"""Windows by their names: in the order of time where the names tell, otherwise as in the file."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from eplb.load_files import read_loads

if TYPE_CHECKING:
    from pathlib import Path

# Names from the oldest to the newest.
CERTAIN = {
    "numbers": "-3 -1.5 0 9e2 1.2e3",
    "one-digit hours": "2026-11-28 9:00|2026-11-28 10:00|2026-11-28 12:00",
    "midnight as pandas writes it": "2026-11-28 23:59:00|2026-11-29|2026-11-29 00:01:00",
    "fractions of seconds": "2026-11-28 09:59:59.25|2026-11-28 09:59:59.9|2026-11-28 10:00:00",
    "offsets": "2026-11-28T10:00:00+01:00 2026-11-28T12:30:00+03:00 2026-11-28T10:00:00Z",
    "month first": "11/28/2026 11:00 AM|11/28/2026 12:00 PM|12/1/2026 1:00 AM",
    "day first": "28.11.2026 09:00|28.11.2026 12:00|1.12.2026 08:00",
    "day or month first": "9/1/2026 10/1/2026 11/1/2026",
    "times of a day": "9:00 10:00 12:00",
    "around midnight": "23:58:00 23:59:00 00:00:00 00:01:00",
    "times since a start": "0 days 00:03:00|0 days 23:00:00|1 days 00:02:00",
    "seconds": "0s 60s 120s 1000s",
    "decimals with a unit": "0.5s 1.25s 10.5s",
    "steps": "step-8 step-9 step-10 step-11",
    "one number of several": "run1_step8.pt run1_step9.pt run1_step11.pt",
    "names of months, one day": "28-Nov-2026 09:00|28-Nov-2026 12:00",
    "compact dates": "20261128T0900 20261128T1000 20261201T0100",
}
UNCERTAIN = {
    "days of the week": "Mon Tue Wed",
    "two units": "59s 3m 4m",
    "backwards": "t-3 t-2 t-0",
    "ago": "3 min ago|2 min ago|0 min ago",
    "day or month": "2/3/2026 3/2/2026",
    "versions": "v1.9 v1.10",
    "12 hours": "12 AM|1 AM|2 AM",
    "with and without a zone": "2026-11-28T09:00:00 2026-11-28T10:00:00Z",
    "most of a day": "20:00 03:00 10:00",
}


def _names(text: str) -> list[str]:
    return text.split("|") if "|" in text else text.split()


def _table(names: list[str], *, wide: bool, column: str = "time") -> str:
    """Windows of 2 layers x 2 experts; the first load of each is its number among all."""
    lines = [f"{column},layer,expert_0,expert_1" if wide else f"{column},layer,expert,count"]
    for name in names:
        number = sorted(names).index(name)
        for layer in (0, 1):
            if wide:
                lines.append(f"{name},{layer},{number},7")
            else:
                lines += [f"{name},{layer},0,{number}", f"{name},{layer},1,7"]
    return "\n".join(lines)


def _read(names: list[str], path: Path, *, wide: bool) -> tuple[list[str], tuple[str, ...]]:
    """The names in the order of the windows read, and the notes."""
    file = path / "loads.csv"
    file.write_text(_table(names, wide=wide))
    read = read_loads(file)
    return [sorted(names)[int(window[0, 0])] for window in read.windows], read.notes


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", CERTAIN)
def test_names_that_tell_the_time_are_in_its_order(
    kind: str, tmp_path: Path, *, wide: bool
) -> None:
    names = _names(CERTAIN[kind])
    for order in (names, names[::-1], names[1:] + names[:1]):
        found, notes = _read(order, tmp_path, wide=wide)
        assert found == names
        assert not any("order of the file" in note for note in notes)
        if not wide:
            assert f"windows by column 'time', from {names[0]} to {names[-1]}" in notes


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", UNCERTAIN)
def test_other_names_are_in_the_order_of_the_file(kind: str, tmp_path: Path, *, wide: bool) -> None:
    names = _names(UNCERTAIN[kind])
    for order in (names, names[::-1]):
        found, notes = _read(order, tmp_path, wide=wide)
        assert found == order
        words = f"order of the file, from {order[0]!r} to {order[-1]!r}: column 'time' does not say"
        assert any(re.search(re.escape(words), note) for note in notes)


def test_one_time_in_two_spellings_is_one_window(tmp_path: Path) -> None:
    file = tmp_path / "loads.csv"
    file.write_text(
        "time,layer,expert,count\n"
        "2026-11-28 9:00,0,0,1\n2026-11-28 09:00,0,1,2\n2026-11-28 10:00,0,0,3\n2026-11-28 10:00,0,1,4\n"
    )
    assert [window.tolist() for window in read_loads(file).windows] == [[[1, 2]], [[3, 4]]]


def test_tables_of_json_are_in_the_order_of_their_times(tmp_path: Path) -> None:
    file = tmp_path / "loads.json"
    for newest, oldest, order in ((10, 9, [1, 2]), ("Tue", "Mon", [2, 1])):
        records = [{"ts": newest, "loads": [[2, 7]]}, {"ts": oldest, "loads": [[1, 7]]}]
        file.write_text(json.dumps(records))
        read = read_loads(file)
        assert [int(window[0, 0]) for window in read.windows] == order
        assert "order of the file" in read.notes[0] or order == [1, 2]


def test_one_window_is_in_no_order(tmp_path: Path) -> None:
    file = tmp_path / "loads.csv"
    file.write_text("window,layer,expert,count\nfirst,0,0,1\nfirst,0,1,2\n")
    assert not any("order" in note for note in read_loads(file).notes)
