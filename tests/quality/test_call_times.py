"""The table of times has every kind of loads and every shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import call_times
from call_times import TimeRow
from tables import time_part

if TYPE_CHECKING:
    import pytest


def test_every_kind_of_loads_is_timed_at_every_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {"16/20/4": (16, {"num_replicas": 20, "num_gpus": 4})}
    monkeypatch.setattr(call_times, "SHAPES", shapes)
    monkeypatch.setattr(call_times, "LAYERS", 4)
    (row,) = call_times.time_rows()
    assert row.shape == "16/20/4"
    assert {"zipf 1.2", "32 tokens", "one to four hot", "log sd 0"} <= set(row.ms)
    assert all(0 < ms < 1000 for ms in row.ms.values())
    loads = {name: make(16) for name, make in call_times.kinds().items()}
    assert all(load.shape == (4, 16) for load in loads.values())
    assert (loads["32 tokens"].sum(axis=1) == 32 * 8).all()
    assert (loads["log sd 0"] == loads["log sd 0"][0, 0]).all()
    assert (loads["one to four hot"].max(axis=1) > 0.09 * 10**6).all()


def test_the_slowest_kind_is_told_beside_the_median() -> None:
    row = TimeRow("16/20/4", {"one": 1.0, "two": 2.0, "three": 9.0})
    assert (row.median(), row.slowest()) == (2.0, "three")
    lines = time_part([row]).splitlines()
    assert lines[-3:] == [
        "| three | 9.0 |",
        "| **median** | 2.0 |",
        "| **slowest, times the median** | 4.5 |",
    ]
