"""`eplb.advise`: points are those of a replay, knees those of the rule, impossible sizes are named."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from eplb.analysis.advice.advising import prepare
from eplb.analysis.advice.choices import MOST_POINTS, redundant_of
from eplb.analysis.advice.knees import knees_of
from hypothesis import given
from hypothesis import strategies as st
from planners_that_end import Ends, everywhere

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(3)
TRACE = RANDOM.lognormal(5, 1, (12, 3, 16)).astype(np.int64)


def test_points_are_those_of_a_replay() -> None:
    advice = eplb.advise(
        TRACE, num_gpus=[4, 2], redundant="0..16:8", setting="multiwindow:rows=8", every=2, warmup=4
    )
    assert [(point.num_gpus, point.redundant) for point in advice.points] == [
        (4, 0), (4, 8), (4, 16), (2, 0), (2, 8), (2, 16),
    ]  # fmt: skip
    for point in advice.points:
        replayed = eplb.replay(
            TRACE,
            "multiwindow:rows=8",
            num_gpus=point.num_gpus,
            num_replicas=16 + point.redundant,
            every=2,
            warmup=4,
        ).results[0]
        assert len(point.rows) == 7
        for ours, theirs in zip(point.rows, replayed.rows, strict=True):
            assert ours.balancedness.tolist() == theirs.balancedness.tolist()
            assert ours.copies == theirs.copies
        assert point.figures.balancedness_mean == replayed.figures.balancedness_mean
        assert point.figures.balancedness_p10 == replayed.figures.balancedness_p10
        assert point.slots_per_gpu * point.num_gpus == point.num_replicas == 16 + point.redundant
        assert point.gigabytes is None
    assert advice.finished
    assert advice.left_out == ()


def test_memory_of_a_gpu() -> None:
    advice = eplb.advise(TRACE, num_gpus=6, redundant=[2, 8], expert_bytes=10**9)
    few, many = advice.points
    assert (few.gigabytes, many.gigabytes) == (3 * 3, 3 * 4)
    # Without redundant slots a GPU would hold 16 / 6 experts of each of 3 layers.
    assert few.redundant_gigabytes == 1.0 == 9 - 3 * 16 / 6
    assert many.redundant_gigabytes == 4.0 == 12 - 3 * 16 / 6
    [row, _] = advice.table()
    assert (row["gigabytes_per_gpu"], row["redundant_gigabytes_per_gpu"]) == (9, 1)
    assert " They take 1.00 GB of each GPU." in str(advice) or advice.knees[0].redundant == 8


def curve(gpus: int, means: list[float | None], slots: list[int]) -> list[Any]:
    """Points of these means, with so many slots per GPU."""
    return [
        SimpleNamespace(
            num_gpus=gpus,
            redundant=(each - slots[0]) * gpus,
            slots_per_gpu=each,
            redundant_gigabytes=None,
            figures=SimpleNamespace(balancedness_mean=mean),
        )
        for mean, each in zip(means, slots, strict=True)
    ]


def naive_knee(means: list[float], slots: list[int], per_slot: float) -> int:
    """The rule, word by word, in fractions: the first point from which no later one pays."""
    for at, slot in enumerate(slots):
        gains = [
            (Fraction(means[later]) - Fraction(means[at])) / (slots[later] - slot)
            for later in range(at + 1, len(slots))
        ]
        if all(gain < Fraction(per_slot) for gain in gains):
            return at
    raise AssertionError


@given(
    st.lists(
        st.tuples(st.integers(0, 64).map(lambda n: n / 64), st.integers(1, 4)),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 8).map(lambda n: n / 64),
)
def test_the_knee_is_that_of_the_rule(points: list[tuple[float, int]], per_slot: float) -> None:
    """Numbers are in 64ths, so that floats are exact."""
    means, slots = [mean for mean, _ in points], np.cumsum([step for _, step in points]).tolist()
    [knee] = knees_of(curve(4, [*means], slots), per_slot)
    at = naive_knee(means, slots, per_slot)
    assert knee.redundant == (slots[at] - slots[0]) * 4
    assert knee.balancedness_mean == means[at]
    assert knee.best_mean == max(means)
    assert knee.rises == (0 < at == len(means) - 1)


def test_knees_in_words() -> None:
    flat = curve(8, [0.80, 0.90, 0.9045, 0.905], [2, 3, 4, 5])
    rising = curve(16, [0.5, 0.6, 0.7], [1, 2, 3])
    falling = curve(32, [0.9, 0.8], [1, 2])
    single = curve(1, [1.0], [4])
    none = curve(64, [None, None], [1, 2])
    assert [
        knee.words for knee in knees_of([*reversed(flat), *rising, *falling, *single, *none], 0.005)
    ] == [
        (
            "8 GPUs: take 8 redundant slots (3 slots per GPU): mean 0.9000. More bring less than 0.5 "
            "points per further slot of a GPU: 24 reach 0.9050."
        ),
        (
            "16 GPUs: take 32 redundant slots (3 slots per GPU): mean 0.7000. The last step "
            "brought 10 points for each slot of a GPU, and the limit is 0.5: try more."
        ),
        "32 GPUs: take no redundant slots (1 slot per GPU): mean 0.9000. More brought nothing.",
        "1 GPU: no redundant slots (4 slots per GPU) alone were tried: mean 1.0000.",
    ]


@pytest.mark.parametrize(
    ("wanted", "gpus", "experts", "tried"),
    [
        (None, 32, 256, [0, 32, 64, 96, 128]),
        (None, 64, 256, [0, 64, 128]),
        (None, 256, 256, [0, 256]),
        (None, 1, 8, [0]),
        (None, 24, 64, [8, 32]),
        (None, 4, 256, [0, 16, 32, 48, 64, 80, 96, 112, 128]),
        ("0..96", 32, 256, [0, 32, 64, 96]),
        ("0..96", 8, 256, [0, 16, 24, 40, 48, 64, 72, 88, 96]),
        (" 30 .. 97 ", 32, 256, [32, 64, 96]),
        ("0..96", 24, 64, [8, 32, 56, 80]),
        ("1..7", 24, 64, []),
        ("0..1000", 2, 4, [0, 2, 4]),
        ("5..5", 1, 4, []),
        ("0..999999999", 2, 64, [0, 8, 16, 24, 32, 40, 48, 56, 64]),
        ("64,0,32,32", 32, 256, [0, 32, 64]),
        (16, 16, 64, [16]),
        (np.array([16, 32]), 16, 64, [16, 32]),
    ],
)
def test_which_numbers_are_tried(wanted: Any, gpus: int, experts: int, tried: list[int]) -> None:
    choice = redundant_of(wanted).on(gpus, experts)
    assert [*choice.tried] == tried
    assert len(tried) <= MOST_POINTS
    assert choice.uneven == choice.too_many == ()


def test_impossible_sizes_are_left_out_and_named() -> None:
    advice = eplb.advise(TRACE, num_gpus=[4, 3], redundant="0..20:5,".rstrip(","))
    assert [(point.num_gpus, point.redundant) for point in advice.points] == [
        (4, 0), (4, 20), (3, 5), (3, 20),
    ]  # fmt: skip
    assert [str(note) for note in advice.left_out] == [
        "redundant=5, 10, 15 on 4 GPUs: with 16 experts, the slots cannot be divided over the GPUs",
        "redundant=0, 10, 15 on 3 GPUs: with 16 experts, the slots cannot be divided over the GPUs",
    ]
    assert "\nleft out: redundant=0, 10, 15 on 3 GPUs: " in str(advice)
    assert json.dumps(advice.to_dict()["left_out"]).count("cannot be divided") == 2
    many = eplb.advise(TRACE, num_gpus=2, redundant=[16, 18])
    assert [str(note) for note in many.left_out] == [
        "redundant=18 on 2 GPUs: a GPU would have more slots than the 16 experts"
    ]
    groups = eplb.advise(TRACE, num_gpus=[3, 4], redundant="0..8", num_groups=4, num_nodes=2)
    assert {point.num_gpus for point in groups.points} == {4}
    [note] = {str(note) for note in groups.left_out}
    assert "num_gpus=3" in note
    assert "num_replicas" not in note


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"redundant": "0..x"}, r"redundant='0..x' is not understood; expected 0..96, 0..96:16 or"),
        ({"redundant": "9..3"}, "redundant=9..3 ends before it begins"),
        ({"redundant": "0..9:0"}, "redundant=0..9:0 has no step"),
        ({"redundant": "0..999999999:1"}, "has too many numbers"),
        ({"redundant": [-4]}, "redundant=-4 is too small; expected at least 0"),
        ({"redundant": []}, "there are no numbers of redundant slots"),
        ({"redundant": 1}, "redundant=1 on 4 GPUs: with 16 experts, the slots cannot be divided"),
        ({"redundant": "1..3"}, "redundant has no number that goes with num_gpus=4: the slots"),
        ({"num_gpus": []}, "there are no numbers of GPUs; give num_gpus"),
        ({"num_gpus": [4, 0]}, "num_gpus=0 is too small"),
        (
            {"num_groups": 3, "num_nodes": 3},
            "16, is not divisible by num_groups=3|num_experts=16 is not divisible",
        ),
        ({"setting": "trivial multiwindow"}, "setting is 2 settings; expected one of them"),
        ({"setting": "multiwindo"}, "unknown setting 'multiwindo'"),
        ({"setting": "multiwindow:rows=2"}, "rows=2 is out of range"),
        ({"per_slot": 1.5}, "per_slot=1.5 is out of range"),
        ({"per_slot": float("nan")}, "per_slot=nan is out of range"),
        ({"warmup": 11}, "warmup=11 is too large for 12 windows"),
        ({"every": 0}, "every=0 is too small"),
        ({"jobs": 0}, "jobs=0 is too small"),
        ({"expert_bytes": 0}, "expert_bytes=0 is too small"),
    ],
)
def test_what_does_not_go_is_said(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(eplb.EplbError, match=words):
        eplb.advise(TRACE, **{"num_gpus": 4, **arguments})


def timeless(advice: eplb.Advice) -> str:
    values = advice.to_dict()
    for point in values["points"]:
        del point["seconds"]
    return json.dumps(values)


def test_the_answer_does_not_depend_on_jobs_threads_or_types() -> None:
    one = eplb.advise(TRACE, num_gpus=[2, 4], expert_bytes=1000)
    assert len(one.points) == 8
    for other in (
        eplb.advise(TRACE, num_gpus=[2, 4], expert_bytes=1000, jobs=2),
        eplb.advise(TRACE.astype(np.float64), num_gpus=(2, 4), expert_bytes=1000, threads=2),
    ):
        assert timeless(one) == timeless(other)


def test_a_point_whose_processes_die_is_missing(tmp_path: Path) -> None:
    ends = Ends(str(tmp_path / "count"), window=6, times=2, replicas=20)
    advice = eplb.advise(TRACE, num_gpus=4, redundant=[0, 4, 8], setting=ends, jobs=2)
    assert (tmp_path / "count").read_text() == "2"
    assert [*advice.lost] == ["4 GPUs with 4 redundant slots"]
    assert [point.redundant for point in advice.points] == [0, 8]
    assert not advice.finished
    assert "\nmissing: 4 GPUs with 4 redundant slots: its process died 2 times" in str(advice)
    assert "interrupted" not in str(advice)
    again = eplb.advise(TRACE, num_gpus=4, redundant=[0, 4, 8], setting=ends, jobs=2)
    whole = eplb.advise(TRACE, num_gpus=4, redundant=[0, 4, 8], setting={"Ends": everywhere})
    assert timeless(again) == timeless(whole)


def test_results_are_plain_tables(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    trace = TRACE.copy()
    trace[:] = 0
    for loads, empty in ((TRACE, False), (trace, True)):
        advice = eplb.advise(loads, num_gpus=4, redundant=[0, 4])
        rows = [*advice.table()]
        for ending in ("json", "csv", "parquet"):
            advice.save(tmp_path / f"a.{ending}")
        values = json.loads((tmp_path / "a.json").read_text())
        assert values == json.loads(json.dumps(advice.to_dict()))
        assert values["points"] == rows
        with (tmp_path / "a.csv").open() as file:
            assert [*csv.DictReader(file)] == [
                {name: "" if value is None else str(value) for name, value in row.items()}
                for row in rows
            ]
        table = pq.read_table(tmp_path / "a.parquet")
        assert table.to_pylist() == rows
        assert {str(kind) for kind in table.schema.types} == {"int64", "double", "bool"}
        assert (rows[0]["balancedness_mean"] is None) == empty
        assert (advice.knees == ()) == empty
        assert ("No window that was judged has load." in str(advice)) == empty
    with pytest.raises(eplb.EplbError, match=r"expected .json, .csv or .parquet"):
        advice.save(tmp_path / "a.xlsx")


def test_parquet_without_pyarrow_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("eplb.storage.result_tables.find_spec", lambda _: None)
    with pytest.raises(eplb.EplbError, match=r"pyarrow is needed .*extra parquet.*pip install"):
        eplb.advise(TRACE, num_gpus=4, redundant=0).save(tmp_path / "a.parquet")
    assert [*tmp_path.iterdir()] == []


def test_points_without_all_windows_are_left_out() -> None:
    """An interruption leaves what is whole."""
    run = prepare(
        TRACE,
        num_gpus=4,
        redundant=[0, 4],
        setting="trivial",
        num_groups=1,
        num_nodes=1,
        every=1,
        warmup=None,
        expert_bytes=None,
        per_slot=0.005,
        threads=1,
        jobs=1,
        ray=None,
        results=None,
    )
    steps = run.steps()
    names = [next(steps) for _ in range(10)]
    steps.close()
    assert names == ["4 GPUs with 0 redundant slots"] * 8 + ["4 GPUs with 4 redundant slots"] * 2
    assert (run.done, run.num_steps) == (1, 16)
    advice = run.advice()
    assert [point.redundant for point in advice.points] == [0]
    assert not advice.finished
    assert str(advice).endswith("unfinished: some points are missing")
