"""Which setting is recommended, and why."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from eplb.analysis.replay.cells import Row
from eplb.analysis.replay.figures import figures_of
from eplb.analysis.replay.next_steps import NextSteps
from eplb.analysis.replay.recommendation import Recommendation, noise, recommend
from eplb.analysis.replay.result import Result
from eplb.analysis.replay.settings import settings_of

PAY = "Updates do not pay on this trace."


def result(name: str, means: list[float], copies: int = 0, slots: int = 100) -> Result:
    """A setting with a layer, and so many copies in each update."""
    rows = tuple(
        Row(at, np.array([mean]), copies, slots, updated=True, seconds=0.001)
        for at, mean in enumerate(means)
    )
    return Result(settings_of(name)[0], rows, figures_of(rows))


def taken(*results: Result, most_copies: float = 0.2) -> Recommendation:
    return recommend(results, most_copies, lambda setting: NextSteps(command=setting.name))


def means(mean: float, spread: float = 0.0, windows: int = 16) -> list[float]:
    """Half of the windows above the mean, half below."""
    return [mean + spread * (-1) ** at for at in range(windows)]


def test_the_noise_is_two_standard_errors() -> None:
    first, second = result("static", means(0.9, 0.04)), result("multiwindow", means(0.91))
    exact = 2 * math.sqrt(sum(0.04**2 for _ in range(16)) / 15) / 4
    assert noise(first, second) == pytest.approx(exact, rel=1e-9)
    assert noise(first, first) == 0.002
    one = result("static", [0.9])
    assert noise(one, one) == math.inf


@pytest.mark.parametrize(("factor", "name"), [(0.99, "static"), (1.01, "multiwindow")])
def test_within_the_noise_the_one_with_fewest_copies_is_taken(factor: float, name: str) -> None:
    error = 2 * 0.04 / math.sqrt(15)
    found = taken(
        result("static", means(0.8, 0.04)), result("multiwindow", means(0.8 + factor * error), 5)
    )
    assert found.setting == found.command == name
    assert (PAY in found.reason) is (name == "static")
    assert ("within the noise, 0.0207." in found.reason) is (name == "static")


@pytest.mark.parametrize(("more", "name"), [(0.00199, "static"), (0.00201, "multiwindow")])
def test_less_than_two_thousandths_is_nothing(more: float, name: str) -> None:
    found = taken(result("static", means(0.8)), result("multiwindow", means(0.8 + more), 5))
    assert found.setting == name


def test_a_dominated_setting_is_never_taken() -> None:
    """Another has at least its mean, and no more copies."""
    found = taken(
        result("trivial", means(0.8)),
        result("static", means(0.801)),
        result("minimax", means(0.8), 3),
    )
    assert found.setting == "static"
    assert "It is 0.0010 above the default placement, 0.8000." in found.reason
    # Noise that lets the worse ones in must not choose them.
    found = taken(
        result("multiwindow", means(0.9, 0.1), 5),
        result("minimax", means(0.89), 5),
        result("deepseek", means(0.89), 6),
    )
    assert found.setting == "multiwindow"
    assert "multiwindow has the best mean within this budget, 0.9000." in found.reason
    assert taken(result("static", means(1)), result("trivial", means(1))).setting == "static"


def test_of_three_that_are_level_the_one_with_fewest_copies() -> None:
    found = taken(
        result("multiwindow", means(0.9, 0.1), 9),
        result("minimax", means(0.89), 5),
        result("deepseek", means(0.88), 2),
    )
    assert found.setting == "deepseek"
    assert "minimax" not in found.reason
    assert PAY not in found.reason


def test_hindsight_is_never_recommended() -> None:
    found = taken(result("hindsight", means(0.99)), result("trivial", means(0.5)))
    assert found.setting == "trivial"
    assert PAY not in found.reason, "nothing that updates was replayed"
    found = taken(result("hindsight", means(0.99)))
    assert found == Recommendation(
        None, "Only hindsight has judged all windows, and nobody has it in time."
    )
    assert taken().reason == "No setting has judged all windows."
    nothing = taken(result("trivial", [math.nan, math.nan]))
    assert nothing.reason == "No window that was judged has load."


def test_updates_that_were_not_within_the_budget_may_pay() -> None:
    static, deepseek = result("static", means(0.8)), result("deepseek", means(0.7), 80)
    found = taken(static, deepseek)
    assert (found.setting, PAY in found.reason) == ("static", False)
    found = taken(static, deepseek, most_copies=1)
    assert (found.setting, PAY in found.reason) == ("static", True)
    assert PAY not in taken(static).reason


@pytest.mark.parametrize(("copies", "name"), [(20, "multiwindow"), (21, "static")])
def test_a_budget_is_kept_if_it_is_met_exactly(copies: int, name: str) -> None:
    found = taken(result("static", means(0.5)), result("multiwindow", means(0.9), copies))
    assert found.setting == name
    assert found.reason.startswith("The budget is 20.0% of the slots for each update.")
    beyond = "multiwindow reaches 0.9000 beyond it, with 21.0%."
    assert (beyond in found.reason) is (name == "static")


def test_no_setting_within_the_budget() -> None:
    found = taken(result("deepseek", means(0.9), 80), result("minimax", means(0.8), 70))
    assert found.setting is None
    assert found.reason == (
        "No setting is within the budget of 20.0% of the slots for each update; minimax copies least, "
        "70.0%."
    )


def test_no_limit_of_copies() -> None:
    found = taken(result("deepseek", means(0.9), 80), most_copies=math.inf)
    assert found.reason == "Copies are not limited. deepseek has the best mean, 0.9000."


def test_one_window_shows_nothing() -> None:
    """Also if others have no load."""
    settings = [result("static", [0.5, math.nan]), result("multiwindow", [0.9, math.nan], 5)]
    found = taken(*settings)
    assert found.setting == "static"
    assert found.reason == (
        "The budget is 20.0% of the slots for each update. multiwindow has the best mean within this "
        "budget, 0.9000, but static has 0.5000 with fewer copies. One window alone shows nothing of the "
        "next ones: replay more."
    )
    assert "replay more" in taken(result("static", [0.5])).reason


def test_below_the_default_placement() -> None:
    """That can be if a failure made repairs of it too dear."""
    trivial: Any = result("trivial", means(0.9), 30)
    found = taken(trivial, result("static", means(0.8)))
    assert found.setting == "static"
    assert "It is 0.1000 below the default placement, 0.9000." in found.reason
    assert "trivial reaches 0.9000 beyond it" in found.reason
