"""Checks of the answers that are timed: a benchmark of wrong answers says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from cases import Loads, Sizes

    Table = npt.NDArray[np.int64]

#: Floats place copies otherwise where loads nearly tie: in at most this share of layers, with no
#: more effect on the mean balancedness than this.
NEAR_TIES, EFFECT = 0.5, 0.002
#: The verifier checks every layer; what the planner promises is checked in so many.
CHECKED_LAYERS = 61


class WrongAnswerError(AssertionError):
    """A planner that is timed gave a plan that it must not give."""


def require(condition: Any, what: str) -> None:
    """Raise unless so."""
    if not condition:
        raise WrongAnswerError(what)


@dataclass(frozen=True)
class Answer:
    """What a planner gives: tables, and the plan itself if it is one of eplb's."""

    phy2log: Table
    rank: Table | None = None
    logcnt: Table | None = None
    plan: eplb.Plan | None = None

    def head(self, layers: int) -> Answer:
        """The tables of the first layers."""
        rank, logcnt = (
            None if table is None else table[:layers] for table in (self.rank, self.logcnt)
        )
        return Answer(self.phy2log[:layers], rank, logcnt)

    def same(self, other: Answer) -> bool:
        """Whether all tables are equal."""
        pairs = (
            (self.phy2log, other.phy2log),
            (self.rank, other.rank),
            (self.logcnt, other.logcnt),
        )
        return all(a is b or np.array_equal(a, b) for a, b in pairs)  # type: ignore[arg-type]


def check(planner: str, answer: Answer, load: Loads, sizes: Sizes) -> eplb.Plan:
    """Check an answer by what its planner promises; return its plan under the loads."""
    try:
        made = evaluated(answer, load, sizes)
        if planner.startswith("eplb minimax"):
            check_minimax(made, load, sizes)
        elif planner.startswith(("eplb", "numpy")):
            check_published(planner, answer.head(CHECKED_LAYERS), load[:CHECKED_LAYERS], sizes)
    except (WrongAnswerError, eplb.EplbError) as error:
        raise WrongAnswerError(f"{planner}, {sizes.text()}: {error}") from error
    return made


def evaluated(answer: Answer, load: Loads, sizes: Sizes) -> eplb.Plan:
    """The plan of an answer under the loads, its structure verified, its tables consistent."""
    made = plan_of(answer.phy2log, sizes)
    require(answer.phy2log.shape == (*load.shape[:1], sizes.slots), "phy2log has another shape")
    eplb.verify(made, load)
    if answer.logcnt is not None:
        require(np.array_equal(answer.logcnt, made.logcnt), "logcnt does not count the copies")
    if answer.rank is not None:
        # By expert and rank, the ranks of each expert's copies must read 0, 1, ..
        order = np.lexsort((answer.rank, answer.phy2log))
        read = np.take_along_axis(answer.rank, order, axis=1).ravel()
        wanted = [np.arange(copies) for copies in made.logcnt.ravel()]
        require(np.array_equal(read, np.concatenate(wanted)), "ranks are not 0, 1, ..")
    if answer.plan is not None:
        eplb.verify(answer.plan, load)
        require(np.array_equal(answer.plan.phy2log, answer.phy2log), "another plan than its table")
    judged: eplb.Plan = eplb.evaluate(made, load)
    return judged


def plan_of(phy2log: Table, sizes: Sizes) -> eplb.Plan:
    """The plan of a table."""
    return eplb.Plan.from_phy2log(
        phy2log, num_gpus=sizes.gpus, num_groups=sizes.groups, num_nodes=sizes.nodes
    )


def check_minimax(made: eplb.Plan, load: Loads, sizes: Sizes) -> None:
    """No duplicates, and nowhere worse than a published plan that has none."""
    require(not made.duplicates.any(), "an expert twice on a GPU")
    published = eplb.plan(load, policy="deepseek", **sizes.options())
    worse = made.gpu_load.max(axis=1) > published.gpu_load.max(axis=1)
    require(not (worse & (published.duplicates == 0)).any(), "worse than the published plan")


def check_published(planner: str, answer: Answer, load: Loads, sizes: Sizes) -> None:
    """To the last slot as the other implementation has it; in floats, but for near ties."""
    wanted = other_way("adaptive" if "adaptive" in planner else "deepseek", load, sizes)
    if planner.startswith("eplb"):
        require(answer.same(wanted), "not the published plan")
        return
    require(np.array_equal(answer.logcnt, wanted.logcnt), "other copies than published")  # type: ignore[arg-type]
    differ = (answer.phy2log != wanted.phy2log).any(axis=1)
    require(differ.mean() <= NEAR_TIES, f"{differ.sum()} layers are not as published")
    theirs, published = (
        eplb.evaluate(plan_of(table, sizes), load).balancedness.mean()
        for table in (answer.phy2log, wanted.phy2log)
    )
    require(abs(theirs - published) <= EFFECT, "another balancedness than published")


def other_way(policy: str, load: Loads, sizes: Sizes) -> Answer:
    """The plan of a published policy by the batched path, which shares no code with the core."""
    import torch

    tables = eplb.rebalance_experts_batched(
        torch.tensor(load), sizes.slots, sizes.groups, sizes.nodes, sizes.gpus, policy=policy
    )
    return of_tensors(tables)


def of_tensors(tables: tuple[Any, Any, Any]) -> Answer:
    """The answer in phy2log, log2phy and logcnt as tensors."""
    phy2log, log2phy, logcnt = (table.numpy() for table in tables)
    layer, expert, copy = np.nonzero(log2phy >= 0)
    rank = np.empty_like(phy2log)
    rank[layer, log2phy[layer, expert, copy]] = copy
    return Answer(phy2log, rank, logcnt)
