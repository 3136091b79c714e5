"""Which balancer is whose."""

from __future__ import annotations

from typing import Any

import eplb
import numpy as np
from eplb.plugins.call import Call
from eplb.plugins.models import Models

LOAD = np.arange(48).reshape(3, 16) + 1
START = np.tile(np.arange(20) % 16, (3, 1))


def call(previous: Any, load: Any = LOAD, **sizes: Any) -> Call:
    return Call(load, previous, **({"num_slots": 20, "num_gpus": 4} | sizes))


def models() -> Models:
    return Models(lambda _: eplb.Balancer())


def test_one_model_is_known_by_what_was_answered() -> None:
    known = models()
    model = known.model_of(call(START))
    model.answered = START[:, ::-1]
    assert known.model_of(call(START[:, ::-1])) is model
    # In some layers alone, or with empty slots on dead GPUs.
    assert known.model_of(call(np.vstack([START[:1, ::-1], START[1:]]))) is model
    dead = START[:, ::-1].copy()
    dead[:, 5:10] = -1
    assert known.model_of(call(dead, dead_gpus=(1,))) is model
    model.answered = dead
    assert known.model_of(call(dead, dead_gpus=(1,))) is model


def test_answers_that_are_not_taken_make_two_models_at_most() -> None:
    """The engine stays with its map: it may be one model, or two that begin alike."""
    known = models()
    seen = []
    for window in range(8):
        model = known.model_of(call(START))
        model.answered = np.roll(START, window + 1, axis=1)
        seen.append(model.index)
    assert seen == [0, 1] * 4


def test_two_models_of_one_map_are_asked_in_turn() -> None:
    known = models()
    first = known.model_of(call(START))
    first.answered = START[:, ::-1]
    second = known.model_of(call(START))
    assert second is not first
    second.answered = START[:, ::-1]
    for _ in range(3):
        assert known.model_of(call(START[:, ::-1])) is first
        assert known.model_of(call(START[:, ::-1])) is second


def test_another_cluster_and_gaps_are_new() -> None:
    known = models()
    model = known.model_of(call(START))
    model.answered = START
    other = known.model_of(call(START, num_gpus=5))
    assert other is not model
    # Also if the old cluster is back, with the old map: new ranks never saw it.
    again = known.model_of(call(START))
    assert again is not model
    again.answered = START
    gaps = np.where(START == 3, -1, START)
    assert known.model_of(call(gaps)) is not again


def test_gaps_of_one_model_are_not_those_of_another() -> None:
    known = models()
    model = known.model_of(call(START[:1], LOAD[:1]))
    model.answered = START[:1]
    known.model_of(call(np.where(START == 3, -1, START)))
    assert known.model_of(call(START[:1], LOAD[:1])) is model


def test_other_groups_are_another_balancer() -> None:
    known = models()
    model = known.model_of(call(START, num_nodes=2, num_groups=4))
    model.answered = START
    assert known.model_of(call(START, num_nodes=2, num_groups=2)) is not model


def test_models_keep_their_numbers() -> None:
    """Also after all was forgotten, in whatever order they come then, and where nothing is planned."""
    known = models()
    target, drafter = call(START), call(START[:1], LOAD[:1])
    assert [known.model_of(each).index for each in (target, drafter)] == [0, 1]
    known.forget()
    assert [known.model_of(each).index for each in (drafter, target)] == [1, 0]
    assert [known.index_of(each) for each in (drafter, target)] == [1, 0]
    assert known.index_of(call(START[:2], LOAD[:2])) == 2


def test_few_are_remembered() -> None:
    """The ones that were asked longest ago go first."""
    known = models()
    made = []
    for turn in range(9):
        model = known.model_of(call(np.roll(START, turn, axis=1)))
        model.answered, model.asked = np.roll(START, turn, axis=1), None
        made.append(model)
    assert known.model_of(call(np.roll(START, 8, axis=1))) is made[8]
    assert known.model_of(call(np.roll(START, 1, axis=1))) is made[1]
    assert known.model_of(call(START)) is not made[0]
