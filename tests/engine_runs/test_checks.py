"""The checks of the runs find what they are for: they are shown something false."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_runs import toy_model, traffic
from engine_runs.case import Case, Told
from engine_runs.faults import BEGIN
from engine_runs.measures import moved, problems
from engine_runs.processes import HangError, run

TRAFFIC = traffic.v2_lite(BEGIN + 1)[None, :, :, :3]


def test_a_rank_that_answers_another_map_hangs_vllm_and_is_seen() -> None:
    """As it would be without eplb's comparison."""
    case = Case("vllm", "sync", TRAFFIC, 80, plugin=False, faults={1: ("other map",)})
    with pytest.raises(HangError, match=r"did not end within 40 s(.|\n)*move_to_buffer"):
        run(case, limit=40)


def test_a_map_without_an_expert_loses_it_and_is_seen() -> None:
    case = Case("vllm", "sync", TRAFFIC, 80, plugin=False, faults={-1: ("lost expert",)})
    found = "\n".join(problems(run(case), 64))
    assert "layer 0: no slot has expert 0" in found


@pytest.mark.parametrize("tensor", range(len(toy_model.TENSORS)))
def test_a_weight_that_is_elsewhere_is_seen(tensor: int) -> None:
    phy2log = torch.tensor([[0, 1, 2, 0], [2, 1, 0, 1]])
    layers = [toy_model.tensors(2) for _ in phy2log]
    toy_model.fill(layers, phy2log, rank=1, base=1000)
    assert list(toy_model.misplaced(layers, phy2log, rank=1, base=1000)) == []
    assert len(list(toy_model.misplaced(layers, phy2log, rank=1, base=2000))) == 12
    layers[1][tensor][0] = layers[1][tensor][1]
    (line,) = toy_model.misplaced(layers, phy2log, rank=1, base=1000)
    assert line.startswith(f"rank 1, layer 1, slot 0, tensor {tensor}: expert 0")


def test_another_map_and_what_came_out_of_the_engine_are_seen() -> None:
    table = np.array([[0, 1, 2, 1]])
    right = Told(0, maps=[[table, table]])
    late = Told(1, maps=[[table]], came=1)
    other = Told(2, maps=[[table, table[:, ::-1]]], error="ValueError")
    assert list(problems([right, late], 3)) == []
    assert list(problems([right, other], 3)) == [
        "rank 2 raised: ValueError",
        "rank 2, model 0: another map after window 1",
    ]


def test_moves_are_slots_whose_expert_was_not_on_the_rank() -> None:
    old = np.array([[0, 1, 2, 3], [0, 1, 2, 3]])
    assert moved(old, np.array([[1, 0, 2, 3], [0, 0, 3, 3]]), ranks=2) == 0
    assert moved(old, np.array([[2, 0, 2, 1], [3, 3, -1, 2]]), ranks=2) == 4


def test_tokens_of_slots_add_up() -> None:
    load = np.array([[7, 5, 0], [1, 2, 9]])
    phy2log = np.array([[0, 1, 2, 0], [2, 1, 0, 2]])
    assert traffic.of_slots(load, phy2log).tolist() == [[4, 5, 0, 3], [5, 2, 1, 4]]
    shares = np.array([traffic.of_rank(load, rank, 4) for rank in range(4)])
    assert shares.sum(axis=0).tolist() == load.tolist()
