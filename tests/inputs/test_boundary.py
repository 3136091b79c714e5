"""Any bytes, any dict, any argument, any command line: an answer or one of our exceptions.

Never anything else: the controls plant readers that let another error escape.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import problems
import pytest
import torch
from counts import COUNTS
from eplb import cli
from eplb.cli import program
from eplb.storage import plan_file
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

if TYPE_CHECKING:
    from collections.abc import Callable

LOAD = np.random.default_rng(3).integers(0, 40, (2, 6))
PLANS = [
    eplb.plan(LOAD, num_gpus=4, num_replicas=8),
    eplb.plan(LOAD, num_gpus=2, num_groups=3, policy="minimax"),
    eplb.Plan.from_phy2log([[0, 1, 2, 0]], num_gpus=2),
]
REFUSED = (eplb.PlanFileError, eplb.VerificationError)


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


#: Arrays of any kind and shape that an .npz file may hold.
ARRAYS = arrays(
    st.sampled_from(["i8", "u8", "i4", "u1", "f8", "?", "c16", "U4", "S3", "M8[s]"]),
    st.lists(st.integers(0, 9), max_size=3).map(tuple),
)


@st.composite
def changed_npz(draw: st.DrawFn, plans: list[bytes]) -> bytes:
    """A plan in an .npz file some of whose arrays are others, or gone; its checksums are right."""
    content: dict[str, Any] = dict(np.load(io.BytesIO(draw(st.sampled_from(plans)))))
    if draw(st.booleans()):
        said = json.loads(str(content["plan"]))
        said |= draw(st.dictionaries(st.sampled_from(sorted({*said, *content})), JSON, max_size=2))
        content["plan"] = np.array(json.dumps(said))
    for name in draw(st.lists(st.sampled_from(sorted(content)), max_size=2)):
        content[name] = draw(ARRAYS)
    if not draw(st.integers(0, 3)):
        del content[draw(st.sampled_from(sorted(content)))]
    stream = io.BytesIO()
    np.savez(stream, **content)
    return stream.getvalue()


def files(right: list[bytes]) -> st.SearchStrategy[bytes]:
    """Any bytes, and such as get past the first checks."""
    row = st.lists(JSON, min_size=1, max_size=3)
    values = st.one_of(changed_dicts(), JSON, st.lists(row, min_size=1, max_size=3))
    return st.one_of(
        changed_bytes(right),
        changed_npz(right[1 : 2 * len(PLANS) : 2]),
        values.map(lambda values: json.dumps(values).encode()),
        st.sampled_from(right),
    )


def test_load_plan_of_any_bytes(tmp_path: Path) -> None:
    right = contents(tmp_path)
    read = 0

    @problems.examples(800)
    @given(files(right))
    @example(right[0])
    @example(right[1])
    @example(b"[" * 100_000)
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


#: Values that are hard to compare, to hash or to print: Python refuses the digits of the first two.
STRANGE: dict[str, Any] = {
    "a huge integer": 10**5000,
    "a huge negative integer": -(10**5000),
    "a list of a huge integer": [10**5000],
    "an array": np.arange(5),
    "an empty array": np.zeros((0, 3), np.int64),
    "an array of objects": np.array([object(), None]),
    "an object": object(),
    "a set": {1, 2},
    "half a character": "\ud800",
    "a large float": 1e300,
    "a large negative float": -1e300,
    "a list of a large float": [1e300],
    "the largest float": sys.float_info.max,
    "a float beyond integers": 2.0**63,
    "a tiny float": 5e-324,
    "infinity": math.inf,
    "NaN": math.nan,
    "half": 0.5,
    "2**64": 2**64,
    "a large float of numpy": np.float64(1e300),
    "a long double": np.longdouble(1e300),
    "an array of a large float": np.array([[1e300, 1e300]]),
    "an array without dimensions": np.array(3),
    "an array of three dimensions": np.ones((2, 2, 2)),
    "an array of dates": np.array([["2020-01-01"]], "datetime64[D]"),
    "a tensor of a large float": torch.tensor([[1e300]], dtype=torch.float64),
    "a tensor without dimensions": torch.tensor(1e30),
    "a complex number": 1e300 + 1j,
    "a fraction": Fraction(1, 3),
    "a decimal": Decimal("1e300"),
    "bytes": b"\xff" * 9,
    "nested lists": [[[[1e300]]]],
    "a dict": {"a": 1e300},
    "a generator": (number for number in (1, 2)),
    "a range": range(3),
    "a function": len,
    "a class": int,
    "a path": Path("a.npy"),
}
#: The same for arguments; in a plan's dict some entry may have such a value.
ARGUMENTS = STRANGE | {
    "None": None,
    "true": True,
    "an empty text": "",
    "an empty list": [],
    "2**63": 2**63,
}


@pytest.mark.parametrize("name", STRANGE)
def test_every_entry_of_a_plan_may_be_strange(name: str) -> None:
    tried = 0
    for values in (plan.to_dict() for plan in PLANS):
        for *path, key in filter(None, places(values)):
            changed = copy.deepcopy(values)
            place = changed
            for step in path:
                place = place[step]
            place[key] = STRANGE[name]
            tried += 1
            if [*path, key][0] in ("policy", "options", "made_from"):
                with contextlib.suppress(*REFUSED):  # some say nothing that could be wrong
                    eplb.Plan.from_dict(changed)
                continue
            with pytest.raises(REFUSED):
                eplb.Plan.from_dict(changed)
    assert tried > 100
    for key in (10**5000, b"", None, (1, 2), "\ud800"):
        with pytest.raises(eplb.PlanFileError, match="unknown keys"):
            eplb.Plan.from_dict({**PLANS[0].to_dict(), key: 1})  # type: ignore[dict-item]


def test_a_plan_without_a_bound_under_its_load_is_refused() -> None:
    values = PLANS[0].to_dict()
    values["certificate"]["lower_bound"][1] = 0
    values["certificate"]["gap"][1] = float("inf")
    with pytest.raises(
        eplb.VerificationError, match="layer 1: lower_bound is 0, but the layer has load"
    ):
        eplb.Plan.from_dict(values)


#: What takes any argument at all, by the argument.
TAKES: dict[str, Callable[[Any], Any]] = {
    "load": lambda x: eplb.plan(x, num_gpus=2),
    "a row": lambda x: eplb.plan([x, x], num_gpus=2),
    "a cell": lambda x: eplb.plan([[1, x]], num_gpus=2),
    "a cell among floats": lambda x: eplb.plan([[0.5, x]], num_gpus=2),
    "num_gpus": lambda x: eplb.plan(LOAD, num_gpus=x),
    "num_replicas": lambda x: eplb.plan(LOAD, num_gpus=2, num_replicas=x),
    "num_groups": lambda x: eplb.plan(LOAD, num_gpus=2, num_groups=x),
    "num_nodes": lambda x: eplb.plan(LOAD, num_gpus=2, num_nodes=x),
    "policy": lambda x: eplb.plan(LOAD, num_gpus=2, policy=x),
    "effort": lambda x: eplb.plan(LOAD, num_gpus=2, policy="minimax", effort=x),
    "target_gap": lambda x: eplb.plan(LOAD, num_gpus=2, policy="minimax", target_gap=x),
    "target_gap of another": lambda x: eplb.plan(LOAD, num_gpus=2, target_gap=x),
    "threads": lambda x: eplb.plan(LOAD, num_gpus=2, threads=x),
    "phy2log": lambda x: eplb.Plan.from_phy2log(x, num_gpus=2),
    "a slot": lambda x: eplb.Plan.from_phy2log([[0, x]], num_gpus=2),
    "evaluate": lambda x: eplb.evaluate(PLANS[0], x),
    "verify": lambda x: eplb.verify(PLANS[0], x),
    "split": PLANS[0].split,
    "threads of a split": lambda x: PLANS[0].split(LOAD, threads=x),
    "width": PLANS[0].log2phy,
}


@pytest.mark.parametrize("what", TAKES)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_argument_may_be_strange(name: str, what: str) -> None:
    """What is no number at all is a `TypeError`, by its documentation."""
    try:
        TAKES[what](ARGUMENTS[name])
    except (eplb.EplbError, eplb.LoadTypeError):
        pass
    except TypeError as error:
        if "must be a" not in str(error):
            raise


COMMANDS = [name for name, *_ in program.COMMANDS]
WORDS = [
    *(*COMMANDS, "--json", "--help", "--version", "--from", "--previous", "--history", "--out"),
    *("--gpus", "--nodes", "--groups", "--replicas", "--redundant", "--policy", "--effort"),
    *("--trust-loads", "--layer", "--model", "--seed", "--layers", "--experts", "--metric"),
    *("0", "1", "2", "8", "-1", "1e9", "18446744073709551616", "minimax", "deepseek", "table"),
    *("sglang", "trtllm", "vllm", "load-history", "mindie", "", "\x00", "ä", "/nowhere"),
]


USUAL = [
    ["plan", "{}", "--gpus", "2"],
    ["plan", "{}", "--gpus", "2", "--policy", "minimax", "--json"],
    ["compare", "{}", "--gpus", "2", "--replicas", "8"],
    ["verify", "{}", "a.npy"],
    ["evaluate", "right0.json", "{}"],
    ["evaluate", "{}", "a.npy", "--json"],
    ["split", "right0.json", "{}", "--json"],
    ["sample", "--layers", "2", "--experts", "8", "--seed", "1"],
]


@st.composite
def command_lines(draw: st.DrawFn, names: list[str]) -> list[str]:
    """A usual command, of which a word or two are others, more or fewer; or any words."""
    word = st.sampled_from([*WORDS, *names, "right0.json", "a.npy"])
    if not draw(st.integers(0, 3)):
        return draw(st.lists(word, max_size=7))
    words = [*draw(st.sampled_from(USUAL))]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(words)))
        words[at : at + draw(st.integers(0, 1))] = draw(st.lists(word, max_size=1))
    return words


def test_the_command_line_with_any_file_and_any_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    right = contents(tmp_path)
    codes: set[int] = set()
    names = [f"any{ending}" for ending in ("", ".npy", ".npz", ".csv", ".json", ".pt")]

    @problems.examples(300)
    @given(files(right), command_lines(names), st.sampled_from(names))
    @example(right[-4], ["plan", "{}", "--gpus", "2"], "any.npy")
    # One for each kind of error that the program knows.
    @example(b"", ["plan", "/nowhere", "--gpus", "2"], "any")
    @example(b'[["a", "b"]]', ["plan", "{}", "--gpus", "2"], "any.json")
    @example(
        b"[[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]]", ["verify", "right0.json", "{}"], "any.json"
    )
    @example(b"", ["plan", "{}", "--gpus", "two"], "any")
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
    assert codes == {0, 1, 2}


def nowhere(_: Any) -> Any:
    raise KeyError("nowhere")


def test_control_an_error_of_another_kind_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of plans that looks for a key which is not there."""
    monkeypatch.setattr(plan_file, "from_dict", nowhere)
    with pytest.raises(KeyError, match="nowhere"):
        test_load_plan_of_any_bytes(tmp_path)
    with pytest.raises(KeyError, match="nowhere"):
        test_from_dict_of_any_value()
    with pytest.raises(KeyError, match="nowhere"):
        test_every_entry_of_a_plan_may_be_strange("a set")
    with pytest.raises(KeyError, match="nowhere"):
        test_the_command_line_with_any_file_and_any_words(tmp_path, monkeypatch)
    monkeypatch.setitem(TAKES, "width", nowhere)
    with pytest.raises(KeyError, match="nowhere"):
        test_every_argument_may_be_strange("a set", "width")
    # A `TypeError` that Python raises of itself names neither the argument nor what would do.
    monkeypatch.setitem(TAKES, "width", lambda x: 1 + x)
    with pytest.raises(TypeError, match="unsupported operand"):
        test_every_argument_may_be_strange("a set", "width")


class _Raises:
    def __array__(self, *_: object, **__: object) -> None:
        raise RuntimeError("none of numpy's business")

    def __repr__(self) -> str:
        raise RuntimeError("nor of yours")


@pytest.mark.parametrize("named", ["int", "dict", "array", "deque", "str", "set"])
def test_strange_values_are_refused_with_exceptions_of_ours(named: str) -> None:
    for value in (type(named, (), {})(), _Raises()):
        with pytest.raises(TypeError, match="num_gpus"):
            eplb.plan([[1, 2]], num_gpus=value)  # type: ignore[arg-type]
        with pytest.raises(eplb.EplbError):
            eplb.Plan.from_phy2log(value, num_gpus=2)
