"""The other ways in which the engines ask: two models, ranks that come, go or die, batches."""

from __future__ import annotations

import numpy as np
import pytest
from engine_runs.case import Case, Told
from engine_runs.measures import missing, moved, problems
from engine_runs.processes import run
from engine_runs.traffic import v2_lite

WINDOWS, EXPERTS, LAYERS = 6, 64, 4
TRAFFIC = v2_lite(WINDOWS)[None, :, :, :LAYERS]
#: A second model, of the same shape and with other experts in demand.
TWO = np.concatenate([TRAFFIC, TRAFFIC[..., ::-1]])
BOTH = pytest.mark.parametrize("plugin", [False, True], ids=["own planner", "eplb"])


def sound(case: Case) -> list[Told]:
    """What the ranks tell; everything about it is right, and eplb has planned if it was to."""
    told = run(case)
    assert list(problems(told, EXPERTS)) == []
    planned = told[0].log.count("updated; balancedness")
    assert planned >= WINDOWS * len(case.traffic) if case.plugin else planned == 0
    return told


@pytest.mark.parametrize("mode", ["sync", "async", "batched"])
def test_vllm_with_a_target_and_a_model_for_multi_token_prediction(mode: str) -> None:
    told = sound(Case("vllm", mode, TWO, slots=80))
    target, other = told[0].maps
    assert len(target) == len(other) == WINDOWS + 1
    # Each keeps its own history: what is hot in one is cold in the other, and little moves in the end.
    for maps in (target, other):
        assert moved(maps[-2], maps[-1], 4) < maps[-1].size / 10


@BOTH
def test_vllm_gets_ranks(plugin: bool) -> None:  # noqa: FBT001
    told = sound(Case("vllm", "up", TRAFFIC, slots=144, plugin=plugin))
    assert [len(each.maps[0]) for each in told] == [WINDOWS + 2, WINDOWS + 2, 4, 4]
    assert [table.shape[1] for table in told[0].maps[0]] == [72] * 4 + [144] * 4


@BOTH
def test_vllm_loses_ranks(plugin: bool) -> None:  # noqa: FBT001
    told = sound(Case("vllm", "down", TRAFFIC, slots=144, plugin=plugin))
    assert [len(each.maps[0]) for each in told] == [WINDOWS + 2, WINDOWS + 2, 4, 4]
    assert [table.shape[1] for table in told[0].maps[0]] == [144] * 4 + [72] * 4


@BOTH
def test_sglang_begins_with_a_planned_map(plugin: bool) -> None:  # noqa: FBT001
    told = run(Case("sglang", "first", TRAFFIC, slots=80, plugin=plugin))
    assert list(problems(told, EXPERTS)) == []
    start = told[0].maps[0][0]
    assert list(missing(start, EXPERTS, "at the start")) == []
    assert not (start == np.arange(80) % EXPERTS).all()


@BOTH
def test_sglang_with_a_rank_that_dies(plugin: bool) -> None:  # noqa: FBT001
    """All experts are on the ranks that live, which have 72 slots."""
    told = sound(Case("sglang", "elastic", TRAFFIC, slots=96, plugin=plugin))
    assert [len(each.maps[0]) for each in told] == [WINDOWS + 1] * 3 + [4]
    assert [bool((table < 0).any()) for table in told[0].maps[0]] == [False] * 4 + [True] * 3
    last = told[0].maps[0][-1]
    assert (last[:, 72:] == -1).all()
    assert (last[:, :72] >= 0).all()
