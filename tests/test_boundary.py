"""Any bytes, any dict, any command line: an answer or one of our exceptions, never anything else."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import problems
from counts import COUNTS
from eplb import cli
from hypothesis import example, given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LOAD = np.random.default_rng(3).integers(0, 40, (2, 6))
PLANS = [
    eplb.plan(LOAD, num_gpus=4, num_replicas=8),
    eplb.plan(LOAD, num_gpus=2, num_groups=3, policy="minimax"),
    eplb.Plan.from_phy2log([[0, 1, 2, 0]], num_gpus=2),
]
REFUSED = (eplb.PlanFileError, eplb.VerificationError)


def contents(folder: Path) -> list[bytes]:
    """Files that are right, to be changed."""
    files = []
    for i, plan in enumerate(PLANS):
        for ending in (".json", ".npz"):
            path = folder / f"right{i}{ending}"
            plan.save(path)
            files.append(path.read_bytes())
    for name, save in (("a.npy", np.save), ("a.npz", np.savez)):
        save(folder / name, LOAD)
        files.append((folder / name).read_bytes())
    return [*files, json.dumps(LOAD.tolist()).encode(), b"1,2,3\n4,5,6\n"]


@st.composite
def changed_bytes(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """A file of some kind with a few bytes changed, dropped or added; or any bytes."""
    content = bytearray(draw(st.sampled_from([*files, b""])))
    if not content:
        return draw(st.binary(max_size=300))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        end = at + draw(st.integers(0, 8))
        content[at:end] = draw(st.binary(max_size=8))
    return bytes(content)


def test_load_plan_of_any_bytes(tmp_path: Path) -> None:
    right = contents(tmp_path)
    read = 0

    @problems.examples(400)
    @given(changed_bytes(right))
    @example(right[0])
    @example(right[1])
    def check(content: bytes) -> None:
        nonlocal read
        path = tmp_path / "any"
        path.write_bytes(content)
        try:
            plan = eplb.load_plan(path)
        except REFUSED:
            return
        read += 1
        assert eplb.Plan.from_dict(plan.to_dict()) == plan
        assert len(plan.digest()) == 16

    check()
    assert read >= 2


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 1, 2, 2**31, 2**63, 2**64, 2**200])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["mean", "eplb plan", "deepseek", "00" * 32]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


def places(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into nested dicts and lists."""
    if not isinstance(values, dict | list):
        return [path]
    items = values.items() if isinstance(values, dict) else enumerate(values)
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


@st.composite
def changed_dicts(draw: st.DrawFn) -> Any:
    """A plan's dict with some values replaced, removed or added, whatever they are; or any value."""
    values: Any = copy.deepcopy(draw(st.sampled_from([plan.to_dict() for plan in PLANS])))
    for _ in range(draw(st.integers(0, 3))):
        *path, key = draw(st.sampled_from([place for place in places(values) if place]))
        place = values
        for step in path:
            place = place[step]
        if draw(st.booleans()):
            place[key] = draw(JSON)
        elif isinstance(place, dict):
            place[draw(st.text(max_size=3))] = place.pop(key)
        else:
            place.insert(key, draw(JSON))
    return values if draw(st.integers(0, 9)) else draw(JSON)


@problems.examples(400)
@given(changed_dicts())
@example(PLANS[0].to_dict())
def test_from_dict_of_any_value(values: Any) -> None:
    before = copy.deepcopy(values)
    try:
        plan = eplb.Plan.from_dict(values)
    except REFUSED:
        COUNTS["dicts of no plan refused"] += 1
    else:
        assert plan.to_dict() == before
        COUNTS["dicts of plans read"] += 1
    assert repr(values) == repr(before)  # NaN is not equal to itself


WORDS = [
    *("plan", "compare", "evaluate", "verify", "sample", "--json", "--help", "--version", "--from"),
    *("--gpus", "--nodes", "--groups", "--replicas", "--redundant", "--policy", "--effort"),
    *("--trust-loads", "--layer", "--model", "--seed", "--layers", "--experts", "--metric"),
    *("0", "1", "2", "8", "-1", "1e9", "18446744073709551616", "minimax", "deepseek", "table"),
    *("sglang", "trtllm", "vllm", "load-history", "mindie", "", "\x00", "ä", "/nowhere"),
]


def test_the_command_line_with_any_file_and_any_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    right = contents(tmp_path)
    codes: set[int] = set()
    names = [f"any{ending}" for ending in ("", ".npy", ".npz", ".csv", ".json", ".pt")]
    words = st.lists(st.sampled_from([*WORDS, *names, "right0.json", "a.npy"]), max_size=7)
    usual = st.sampled_from(
        [
            ["plan", "{}", "--gpus", "2"],
            ["compare", "{}", "--gpus", "2", "--json"],
            ["verify", "{}", "a.npy"],
            ["evaluate", "right0.json", "{}"],
        ]
    )

    @problems.examples(150)
    @given(changed_bytes(right), words | usual, st.sampled_from(names))
    @example(right[-4], ["plan", "{}", "--gpus", "2"], "any.npy")
    def check(content: bytes, words: list[str], name: str) -> None:
        (tmp_path / name).write_bytes(content)
        # Else "--out right0.json" would do what it says.
        arguments = [word.format(name) for word in words if word not in ("--out", "-")]
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()) as said,
        ):
            code = cli.main(arguments)
        codes.add(code)
        assert code in (0, 1, 2)
        assert "Traceback" not in said.getvalue()
        assert code == 0 or said.getvalue()

    check()
    assert {0, 2} <= codes
