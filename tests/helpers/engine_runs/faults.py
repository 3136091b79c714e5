"""What goes wrong on a rank, by name. A fault that has a window begins there and stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

#: The window, from 0, from which on something goes wrong.
BEGIN = 3


def before_plugin(names: tuple[str, ...]) -> None:
    """What is wrong from the start."""
    if "other version" in names:
        import eplb

        eplb.__version__ = "9.9.9"
    if "planner raises" in names:
        _let_planner_raise()


def _let_planner_raise() -> None:
    from eplb.balancer import Balancer

    step = Balancer.step

    def raising(self: Balancer, load: Any, *values: Any, **options: Any) -> Any:
        if Now.window >= BEGIN:
            raise RuntimeError("planted: the planner fails")
        return step(self, load, *values, **options)

    Balancer.step = raising  # type: ignore[method-assign]


def in_policy(names: tuple[str, ...], policies: dict[str, Any]) -> None:
    """A policy of vLLM that is wrong, which no plug-in keeps from harm: shows what the checks see."""
    wrongs = {"other map": _rolled, "lost expert": _without_expert_0}
    for name in wrongs.keys() & set(names):
        policies["default"] = _wrong(policies["default"], wrongs[name])


def _wrong(policy: Any, change: Callable[[Any], Any]) -> Any:
    class Wrong(policy):  # type: ignore[misc]
        @classmethod
        def rebalance_experts(cls, *values: Any) -> Any:
            phy2log = policy.rebalance_experts(*values)
            return change(phy2log) if Now.window >= BEGIN else phy2log

    return Wrong


def _rolled(phy2log: Any) -> Any:
    return phy2log.roll(len(phy2log[0]) // 2, dims=1)


def _without_expert_0(phy2log: Any) -> Any:
    return phy2log.masked_fill(phy2log == 0, 1)


class Now:
    """Where a run is."""

    window = -1


def at_window(names: tuple[str, ...], window: int) -> None:
    """To be called before each window."""
    Now.window = window
    if "off file" in names and window == BEGIN:
        Path(os.environ["EPLB_OFF_FILE"]).touch()


def load_of(names: tuple[str, ...], load: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The loads as a broken counter has them."""
    if Now.window < BEGIN:
        return load
    if "negative" in names:
        return -load
    if "not a number" in names:
        return np.where(np.arange(load.shape[-1]) == 5, np.nan, load)
    return load


def hole_in(names: tuple[str, ...], phy2log: npt.NDArray[Any]) -> tuple[int, int] | None:
    """A slot whose expert is lost at this window, though another slot has it: layer and slot."""
    if "hole" not in names or Now.window != BEGIN:
        return None
    for layer, row in enumerate(phy2log):
        for slot, expert in enumerate(row):
            if np.count_nonzero(row == expert) > 1:
                return layer, slot
    return None
