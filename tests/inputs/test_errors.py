"""Every bad input: the right exception, and a message with the place, the value and what would do."""

from __future__ import annotations

import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pandas as pd
import pytest
import torch
from eplb import LoadError, LoadTypeError, TopologyError, VerificationError
from eplb.inputs.names import nearest, unknown
from eplb.load_files import read_loads
from eplb.sampling import family, sample

GOOD = [[5, 3, 2, 1], [1, 2, 3, 4]]


def with_cell(value: Any) -> Any:
    load = np.array(GOOD, dtype=np.float64)
    load[1, 2] = value
    return load


BAD_LOADS: dict[str, tuple[Any, type[Exception], str]] = {
    "NaN": (with_cell(np.nan), LoadError, "layer 1, expert 2: the load is NaN; .* finite"),
    "infinity": (with_cell(np.inf), LoadError, "layer 1, expert 2: the load is inf"),
    "negative": (with_cell(-0.5), LoadError, "layer 1, expert 2: the load is -0.5"),
    "negative integer": (np.array([[1, -7]]), LoadError, "layer 0, expert 1: the load is -7"),
    "negative in a list": ([[1, 2], [3, -7]], LoadError, "layer 1, expert 1: the load is -7"),
    "NaN in float16": (with_cell(np.nan).astype("f2"), LoadError, "layer 1, expert 2.*NaN"),
    "NaN in bfloat16": (torch.tensor(with_cell(np.nan)).bfloat16(), LoadError, "expert 2.*NaN"),
    "infinity in float8": (
        torch.tensor(with_cell(np.inf)).to(torch.float8_e5m2),
        LoadError,
        "layer 1, expert 2: the load is inf",
    ),
    "2**70 in a list": ([[2**70, 1]], LoadError, f"expert 0: the load is {2**70}; .*2\\*\\*64 - 1"),
    "2**53 + 1 among floats": ([[2**53 + 1, 0.5]], LoadError, "9007199254740993; .*exact"),
    "10**400 among floats": ([[10**400, 0.5]], LoadError, "must be exact"),
    "one row": ([1, 2, 3], LoadError, "pass \\[load\\]"),
    "one array": (np.ones(4), LoadError, "shape \\(4,\\).*pass \\[load\\]"),
    "four axes": (np.ones((2, 3, 4, 1)), LoadError, "the loads have 4 axes; expected"),
    "four axes in a list": ([[[[1, 2]]]], LoadError, "the loads have more than 3 axes; expected"),
    "a bad window": ([[[1, 2]], [[1, -2]]], LoadError, "window 1: layer 0, expert 1: the load is"),
    "ragged windows": ([[[1, 2]], [[1]]], LoadError, "window 1 has 1 layer x 1 expert, but"),
    "ragged": ([[1, 2], [1, 2, 3]], LoadError, "layer 1 has 3 loads, layer 0 has 2"),
    "no layers": ([], LoadError, "empty"),
    "no layers, array": (np.ones((0, 4)), LoadError, "shape \\(0, 4\\)"),
    "no experts": (np.ones((4, 0)), LoadError, "shape \\(4, 0\\)"),
    "no experts in a list": ([[], []], LoadError, "shape \\(2, 0\\)"),
    "scalar": (5, LoadError, "shape \\(\\)"),
    "16385 experts": (np.ones((1, 16385)), TopologyError, "num_experts=16385.*16384"),
    "bool": (np.ones((2, 4), bool), LoadTypeError, "got bool"),
    "bool in a list": ([[1, True]], LoadTypeError, "layer 0, expert 1: the load is True"),
    "bool tensor": (torch.ones(2, 4).bool(), LoadTypeError, "got bool"),
    "complex": (np.ones((2, 4), complex), LoadTypeError, "got complex128"),
    "complex in a list": ([[1, 2j]], LoadTypeError, "expert 1: the load is 2j"),
    "complex tensor": (torch.ones(2, 4) * 1j, LoadTypeError, "got complex64"),
    "object array": (np.array([[1, 2]], dtype=object), LoadTypeError, "got object"),
    "object": (object(), LoadTypeError, "got object;"),
    "None": (None, LoadTypeError, "NoneType"),
    "dict": ({"a": [1]}, LoadTypeError, "dict"),
    "string": ("abc", LoadTypeError, "got str;"),
    "name of a file": ("loads.npy", LoadTypeError, r"got str; eplb\.load_files\.read_loads"),
    "path": (Path("loads.npy"), LoadTypeError, r"Path; eplb\.load_files\.read_loads"),
    "bytes": (b"abc", LoadTypeError, "got bytes;"),
    "array of texts": (np.array([["a", "bcd"]]), LoadTypeError, "got str;"),
    "array of bytes": (np.array([[b"abcd"]]), LoadTypeError, "got bytes;"),
    "strings": ([["1", "2"]], LoadTypeError, "layer 0, expert 0: the load is '1'"),
    "list of strings": (["12", "34"], LoadTypeError, "layer 0 is '12'"),
    "None in a list": ([[1, None]], LoadTypeError, "expert 1: the load is None"),
    "Decimal": ([[1, Decimal(2)]], LoadTypeError, "Decimal"),
    "dates": (np.array([["2020-01-01"]], "datetime64[D]"), LoadTypeError, "datetime64"),
    "structured": (np.zeros((2, 4), [("a", int)]), LoadTypeError, "void"),
    "masked": (np.ma.masked_equal(GOOD, 3), LoadTypeError, "filled"),
    "sparse": (torch.ones(2, 4).to_sparse(), LoadTypeError, "to_dense"),
    "meta": (torch.ones(2, 4, device="meta"), LoadTypeError, "meta device"),
    "float8 exponents": (
        torch.ones(2, 4).to(torch.float8_e8m0fnu),
        LoadTypeError,
        "float8_e8m0fnu",
    ),
}


@pytest.mark.parametrize("name", BAD_LOADS)
def test_bad_loads(name: str) -> None:
    load, error, message = BAD_LOADS[name]
    with pytest.raises(error, match=message):
        eplb.plan(load, num_gpus=2)
    plan = eplb.plan(GOOD, num_gpus=2)
    for use in (eplb.verify, eplb.evaluate):
        with pytest.raises(error, match=message):
            use(plan, load)


def test_data_frames() -> None:
    """Nullable numbers are numbers; a column of labels is not an expert."""
    frame = pd.DataFrame(GOOD)
    plan = eplb.plan(GOOD, num_gpus=2)
    for kind in ("Int64", "UInt16", "Float64", "int32", "object"):
        assert eplb.plan(frame.astype(kind), num_gpus=2).digest() == plan.digest()
    large = pd.DataFrame([[2**63 + 1, 1]], dtype="UInt64")
    assert eplb.plan(large, num_gpus=2).gpu_load.max() == float(2**63 + 1)
    lacks = frame.astype("Int64")
    lacks.iloc[1, 2] = pd.NA
    with pytest.raises(LoadTypeError, match="layer 1, expert 2: the load is <NA>"):
        eplb.plan(lacks, num_gpus=2)
    for index in (None, "layer_idx"):
        with pytest.raises(LoadError, match=f"its column '{index or 'index'}' is no expert; "):
            eplb.plan(frame.rename_axis(index).reset_index(), num_gpus=2)
    long = frame.rename_axis("layer").reset_index().melt("layer", var_name="expert")
    with pytest.raises(LoadError, match=r"its column 'layer' is no expert; .*pivot_table"):
        eplb.plan(long, num_gpus=2)
    wide = long.pivot_table(index="layer", columns="expert", values="value", aggfunc="sum")
    assert eplb.plan(wide, num_gpus=2).digest() == plan.digest()


def test_where_a_bad_load_is() -> None:
    with pytest.raises(LoadError) as caught:
        eplb.plan(with_cell(np.nan), num_gpus=2)
    assert (caught.value.layer, caught.value.slot, caught.value.expert) == (1, None, 2)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_loads() -> None:
    quantised = torch.quantize_per_tensor(torch.ones(2, 4), 0.1, 0, torch.quint8)
    with pytest.raises(LoadTypeError, match="dequantize"):
        eplb.plan(quantised, num_gpus=2)


class Hostile:
    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("not today")


def test_strange_objects() -> None:
    with pytest.raises(LoadTypeError, match="Hostile as loads: not today"):
        eplb.plan(Hostile(), num_gpus=2)


BAD_SIZES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no GPUs": ({"num_gpus": 0}, TopologyError, "num_gpus=0 is too small; expected at least 1"),
    "negative": ({"num_gpus": -3}, TopologyError, "num_gpus=-3 is too small"),
    "no groups": ({"num_groups": 0}, TopologyError, "num_groups=0 is too small"),
    "no nodes": ({"num_nodes": 0}, TopologyError, "num_nodes=0 is too small"),
    "spares for slots": (
        {"num_replicas": 2},
        TopologyError,
        r"num_replicas=2 is less than the 12 experts.*did you mean num_replicas=16",
    ),
    "slots over GPUs": (
        {"num_replicas": 17},
        TopologyError,
        "num_replicas=17 is not divisible by num_gpus=4; try num_replicas=16 or num_replicas=20",
    ),
    "only more slots would": (
        {"num_replicas": 14, "num_gpus": 8},
        TopologyError,
        "try num_replicas=16",
    ),
    "experts over groups": (
        {"num_groups": 5},
        TopologyError,
        "num_experts=12 is not divisible by num_groups=5; try num_groups=4 or num_groups=6",
    ),
    "GPUs over nodes": (
        {"num_groups": 3, "num_nodes": 3},
        TopologyError,
        "num_gpus=4 is not divisible by num_nodes=3; try num_nodes=1",
    ),
    "more GPUs than slots": (
        {"num_gpus": 64, "num_replicas": 16},
        TopologyError,
        "try num_replicas=64",
    ),
    "2**20 + 4 slots": ({"num_replicas": 2**20 + 4}, TopologyError, "1048580.*at most 1048576"),
    **{
        f"{name}={size}": ({name: size}, TopologyError, f"{name}={size}")
        for name in ("num_gpus", "num_replicas", "num_groups", "num_nodes")
        for size in (2**62, 2**70, 10**30)
    },
    "half a GPU": ({"num_gpus": 2.5}, TopologyError, "num_gpus must be a whole number, got 2.5"),
    "a string": ({"num_gpus": "4"}, TypeError, "num_gpus must be a whole number, got '4'"),
    "nothing": ({"num_gpus": None}, TopologyError, "give num_gpus or cluster"),
    "a bool": ({"num_groups": True}, TypeError, "num_groups must be a whole number, got True"),
    "policy": (
        {"policy": "mimimax"},
        eplb.EplbError,
        "unknown policy 'mimimax'; expected one of deepseek, ",
    ),
    "policy of another type": ({"policy": 3}, eplb.EplbError, "unknown policy 3"),
    "no threads": ({"threads": 0}, eplb.EplbError, "threads=0 is too small; expected at least 1"),
    "half a thread": ({"threads": 1.5}, eplb.EplbError, "threads must be a whole number"),
    "2**70 threads": ({"threads": 2**70}, eplb.EplbError, f"threads={2**70}"),
}


@pytest.mark.parametrize("name", BAD_SIZES)
def test_bad_sizes(name: str) -> None:
    options, error, message = BAD_SIZES[name]
    with pytest.raises(error, match=message):
        eplb.plan(np.ones((2, 12)), **({"num_gpus": 4} | options))


def test_many_threads_are_fine() -> None:
    eplb.plan(np.ones((3, 4)), num_gpus=2, threads=2**40)


@pytest.mark.filterwarnings("ignore::eplb.LoadWarning")  # no model has such a shape
def test_plans_that_no_memory_holds() -> None:
    with pytest.raises(TopologyError, match=r"257 layers x 1048576 slots .* 268435456 slots"):
        eplb.plan(np.ones((257, 4)), num_gpus=4, num_replicas=2**20, policy="deepseek")
    plan = eplb.plan(np.ones((300, 64)), num_gpus=4, num_replicas=2**14, policy="deepseek")
    with pytest.raises(TopologyError, match="not enough memory"):
        plan.log2phy("static")


def test_num_replicas_defaults_to_what_fills_the_last_gpu() -> None:
    assert eplb.plan(np.ones((2, 12)), num_gpus=8).num_replicas == 16
    assert eplb.plan(np.ones((2, 12)), num_gpus=4).num_replicas == 12


def test_bad_width() -> None:
    with pytest.raises(eplb.EplbError, match="'max' or 'static', got 'wide'"):
        eplb.plan(GOOD, num_gpus=2).log2phy("wide")  # type: ignore[arg-type]


BAD_PLACEMENTS: dict[str, tuple[Any, str]] = {
    "no copy": ([[0, 2, 2, 0]], "layer 0, expert 1: the expert has no slot"),
    "fewer slots than experts": (
        [[0, 2]],
        "layer 0, expert 1: the expert has no slot; .* 0 to the largest, 2 in layer 0, slot 1",
    ),
    "a large expert below": (
        [[1, 0], [0, 7]],
        "layer 0, expert 2: the expert has no slot; .* the largest, 7 in layer 1, slot 1",
    ),
    "negative": ([[0, 1, -2, 1]], "layer 0, slot 2: unknown expert -2; expected 0 to 1"),
    "floats": ([[0.0, 1.0]], "must hold integers, got float64"),
    "bfloat16": (torch.ones(1, 2).bfloat16(), "must hold integers, got bfloat16"),
    "one row": ([0, 1], r"shape \(2,\)"),
    "ragged": ([[0, 1], [0]], "not a table"),
    "strings": ([["0", "1"]], "must hold integers, got str$"),
    "bools": ([[True, False]], "must hold integers, got bool"),
    "2**63": (np.array([[0, 2**63]], dtype=np.uint64), f"holds {2**63}"),
    "2**70": ([[0, 2**70]], "must hold integers, got object"),
    "empty": ([], r"shape \(0,\)"),
}


@pytest.mark.parametrize("name", BAD_PLACEMENTS)
def test_bad_placements(name: str) -> None:
    phy2log, message = BAD_PLACEMENTS[name]
    with pytest.raises(VerificationError, match=message):
        eplb.Plan.from_phy2log(phy2log, num_gpus=2)


def test_the_expert_without_a_slot() -> None:
    with pytest.raises(VerificationError) as caught:
        eplb.Plan.from_phy2log([[2, 0]], num_gpus=2)
    assert (caught.value.layer, caught.value.slot, caught.value.expert) == (0, None, 1)


def test_gpus_that_do_not_divide_a_placement() -> None:
    """The slots are what they are: only other GPUs would do."""
    with pytest.raises(
        TopologyError, match=r"4 slots, .* num_gpus=3; try num_gpus=2 or num_gpus=4$"
    ):
        eplb.Plan.from_phy2log([[0, 1, 1, 0]], num_gpus=3)
    with pytest.raises(TopologyError, match=r"12 slots, .*; try num_gpus=4 or num_gpus=6$"):
        eplb.Plan.from_phy2log([[0, 1, 2] * 4], num_gpus=5)
    with pytest.raises(TopologyError, match=r"1 slot, .* num_gpus=3; try num_gpus=1$"):
        eplb.Plan.from_phy2log([[0]], num_gpus=3)


UNKNOWN_NAMES: dict[str, tuple[Any, str]] = {
    "policy": (lambda: eplb.plan(GOOD, num_gpus=2, policy="MiniMx"), "'MiniMx'; .*'minimax'"),
    "effort": (lambda: eplb.plan(GOOD, num_gpus=2, effort="BSET"), "'BSET'; .*'best'"),
    "format": (
        lambda: eplb.plan(GOOD, num_gpus=2).save("a.json", "vllm_ascend"),
        "'vllm_ascend'; .*'vllm-ascend'",
    ),
    "model": (lambda: sample("deepseek_v3"), "'deepseek_v3'; .*'deepseek-v3'"),
    "family": (lambda: family("zipf1.2", 1, 4), "'zipf1.2'; .*'zipf 1.2'"),
    "written_by": (lambda: read_loads("a.npy", written_by="minde"), "'minde'; .*'mindie'"),
}


@pytest.mark.parametrize("what", UNKNOWN_NAMES)
def test_an_unknown_name_and_the_one_that_was_meant(what: str) -> None:
    call, wanted = UNKNOWN_NAMES[what]
    found, meant = wanted.split("; .*")
    with pytest.raises(
        eplb.EplbError,
        match=rf"^unknown {what} {found}; expected one of .*; did you mean {meant}\?$",
    ) as caught:
        call()
    assert caught.value.parameter == what


def test_names_without_end() -> None:
    many = [f"{number:099}" for number in range(999)]
    for name in ("x" * 10**6, "0" * 40, 7, None):
        assert len(str(unknown("key", name, many))) < 900
    message = str(unknown("key", "zz", ["a", "", "b\n"], where=" here"))
    assert nearest("counts", ["zz"] * 999 + ["count"]) == "count"
    assert nearest("counts", ["zz"] * 1000 + ["count"]) is None  # a file may have millions
    assert nearest("counts", [7, "COUNT"]) == "COUNT"
    assert nearest("x" * 41, ["x" * 50]) == "x" * 40
    assert message == "unknown key 'zz' here; expected one of a, '', 'b\\n'"


def test_a_misspelt_key_of_a_plan() -> None:
    values = eplb.plan(GOOD, num_gpus=2).to_dict()
    values["phy2lg"] = values.pop("phy2log")
    with pytest.raises(
        eplb.PlanFileError, match="lacks phy2log; is its key 'phy2lg' a misspelt phy2"
    ):
        eplb.Plan.from_dict(values)


def test_a_placement_that_splits_a_group() -> None:
    with pytest.raises(VerificationError, match="group 0 is on node 0") as caught:
        eplb.Plan.from_phy2log([[0, 2, 1, 3]], num_gpus=2, num_groups=2, num_nodes=2)
    assert (caught.value.layer, caught.value.slot, caught.value.expert) == (0, 2, 1)


def test_errors_pickle() -> None:
    for name in ("EplbError", "LoadError", "TopologyError", "PlanFileError", "VerificationError"):
        error = getattr(eplb, name)("layer 1: no", layer=1, slot=2, expert=3)
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert (str(copy), copy.layer, copy.slot, copy.expert) == ("layer 1: no", 1, 2, 3)
        assert isinstance(copy, ValueError)
    assert issubclass(eplb.LoadTypeError, TypeError)
    assert str(pickle.loads(pickle.dumps(eplb.LoadTypeError("no")))) == "no"
