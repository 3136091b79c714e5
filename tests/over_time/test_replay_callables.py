"""Planners of somebody else: names, messages, what they see."""

from __future__ import annotations

from functools import partial
from typing import Any

import eplb
import numpy as np
import pytest

TRACE = np.random.default_rng(3).lognormal(5, 1, (12, 3, 16)).astype(np.int64)
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 20}


def deepseek(load: Any, _: Any, sizes: Any, policy: str = "deepseek") -> Any:
    return eplb.plan(
        load, num_gpus=sizes.num_gpus, num_replicas=sizes.num_replicas, policy=policy
    ).phy2log


class Keeps:
    """A planner that keeps a state."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, load: Any, previous: Any, sizes: Any) -> Any:
        self.calls += 1
        return deepseek(load, previous, sizes)


def test_names() -> None:
    planners = [
        deepseek,
        partial(deepseek, policy="minimax"),
        lambda load, previous, sizes: deepseek(load, previous, sizes),  # noqa: PLW0108
        lambda load, previous, sizes: deepseek(load, previous, sizes, "adaptive"),
        Keeps(),
        partial(partial(Keeps())),
    ]
    with pytest.raises(eplb.EplbError, match="two settings have the name 'deepseek'"):
        eplb.replay(TRACE, [deepseek, "deepseek"], **SIZES)
    run = eplb.replay(TRACE, planners, **SIZES)
    assert [result.setting.name for result in run.results] == [
        "deepseek",
        "deepseek 2",
        "lambda",
        "lambda 2",
        "Keeps",
        "Keeps 2",
    ]
    same = eplb.replay(TRACE, "minimax adaptive", **SIZES)
    assert (run["deepseek 2"].balancedness == same["minimax"].balancedness).all()
    assert (run["lambda 2"].balancedness == same["adaptive"].balancedness).all()


def test_what_is_no_setting() -> None:
    for given, words in (
        (Keeps, r"^Keeps is a class; give an object of it, Keeps\(\.\.\.\)"),
        ({"mine": Keeps}, "^Keeps is a class"),
        ([Keeps], "^Keeps is a class"),
        (42, "^a setting is a text or a callable, got 42; for example"),
        ([None], "^a setting is a text or a callable, got None"),
    ):
        with pytest.raises(TypeError, match=words):
            eplb.replay(TRACE, given, **SIZES)


def test_an_object_keeps_its_state() -> None:
    """In this process it is the same object; other processes have copies."""
    planner = Keeps()
    eplb.replay(TRACE, planner, **SIZES)
    assert planner.calls == 9
    eplb.replay(TRACE, planner, **SIZES)
    assert planner.calls == 18
    eplb.replay(TRACE, [planner, "trivial"], jobs=2, **SIZES)
    assert planner.calls == 18


def test_an_exception_is_told_in_full() -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def raises(error: Exception) -> Any:
        def planner(*_: Any) -> Any:
            raise error

        return planner

    for error, words in (
        (ValueError("a" * 300), f"ValueError: {'a' * 300}$"),
        (ValueError("b" * 301), rf"ValueError: {'b' * 300}\.\.\.$"),
        (KeyError("two\nlines"), r"KeyError: 'two\\nlines'$"),
        (ValueError("two\n  lines"), "ValueError: two lines$"),
        (OddError(), "OddError: "),
    ):
        with pytest.raises(eplb.EplbError, match=f"^setting planner, window 3: it raised {words}"):
            eplb.replay(TRACE, raises(error), **SIZES)


def test_tables_are_read_only_and_plans_are_taken() -> None:
    def planner(load: Any, previous: Any, sizes: Any) -> Any:
        for table in (load, previous):
            if table is not None:
                with pytest.raises(ValueError, match="read-only"):
                    table[0, 0] = 1
        return eplb.plan(load, cluster=sizes.cluster, policy="minimax")

    run = eplb.replay(TRACE, [planner, "minimax"], **SIZES)
    assert (run["planner"].balancedness == run["minimax"].balancedness).all()
