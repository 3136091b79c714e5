"""Deaths, drains, additions, other speeds and slots, and windows, in any order.

Every update is verified, and its transfers are run on a model of the GPUs' memory, in which the dead have
lost their weights.
"""

from __future__ import annotations

from typing import Any

import eplb
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from over_time.memory import Placements, check_sources, execute, read

LAYERS = 2
numbers = st.integers(0, 10**6)


class Changes(RuleBasedStateMachine):
    """A cluster in operation."""

    plan: eplb.Plan | None = None

    @initialize(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self.groups = data.draw(st.sampled_from([1, 1, 2, 4, 6]))
        self.experts = self.groups * data.draw(st.integers(1, max(1, 8 // self.groups)))
        gpus = data.draw(st.integers(1, 4))
        each = st.integers(0, self.experts)
        slots = data.draw(st.lists(each, min_size=gpus, max_size=gpus))
        node = sorted(data.draw(st.lists(st.integers(0, 2), min_size=gpus, max_size=gpus)))
        speed = data.draw(st.lists(st.integers(1, 9), min_size=gpus, max_size=gpus))
        self.cluster = eplb.Cluster(slots, gpu_node=node, gpu_speed=speed)
        self.history = eplb.LoadHistory()
        self.observe(data)
        if self.can_plan(self.cluster):
            self.plan = eplb.plan(self.history, cluster=self.cluster, num_groups=self.groups)
            eplb.verify(self.plan, self.history)

    def can_plan(self, cluster: eplb.Cluster) -> bool:
        """Whether every expert has a slot, and no GPU needs an expert twice."""
        used, nodes = cluster.used, {*cluster.gpu_node[cluster.used].tolist()}
        if self.groups % max(1, len(nodes)):
            nodes = {-1}
        each = self.experts // max(1, len(nodes))
        for node in nodes:
            slots = cluster.gpu_slots[used & ((cluster.gpu_node == node) | (node == -1))]
            if slots.sum() < each or slots.max() > each:
                return False
        return bool(used.any())

    @rule(data=st.data())
    def observe(self, data: st.DataObject) -> None:
        size = LAYERS * self.experts
        most = data.draw(st.sampled_from([0, 3, 1000]))
        loads = data.draw(st.lists(st.integers(0, most), min_size=size, max_size=size))
        self.history.observe(np.array(loads).reshape(LAYERS, -1))

    @precondition(lambda self: self.plan is not None)
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        """Several changes at once, or none."""
        gpus = self.cluster.num_gpus
        some = st.lists(st.integers(0, gpus - 1), max_size=2)
        changes: dict[str, Any] = {"dead_gpus": data.draw(some), "drain_gpus": data.draw(some)}
        taken = {*changes["dead_gpus"], *changes["drain_gpus"]}
        changes["live_gpus"] = [gpu for gpu in data.draw(some) if gpu not in taken]
        if gpus < 6:
            changes["added_gpus"] = data.draw(
                st.one_of(st.integers(0, 2), st.lists(st.integers(0, self.experts), max_size=2))
            )
        later = self.cluster.changed(**changes).num_gpus
        if data.draw(st.booleans()):
            speed = st.lists(st.integers(1, 9), min_size=later, max_size=later)
            changes["gpu_speed"] = data.draw(speed)
        if data.draw(st.integers(0, 3)) == 0:
            slots = st.lists(st.integers(0, self.experts), min_size=later, max_size=later)
            changes["gpu_slots"] = data.draw(slots)
        self.replan(changes, data)

    @precondition(lambda self: self.plan is not None and self.cluster.num_gpus > 1)
    @rule(data=st.data())
    def remove_the_last_gpus(self, data: st.DataObject) -> None:
        if self.cluster.is_uniform:
            return
        gpus = data.draw(st.integers(1, self.cluster.num_gpus - 1))
        self.replan({"num_gpus": gpus}, data)

    def replan(self, changes: dict[str, Any], data: st.DataObject) -> None:
        assert self.plan is not None
        if "num_gpus" in changes:
            after = self.cluster.first_gpus(changes["num_gpus"])
        else:
            after = self.cluster.changed(**changes)
        limits: dict[str, Any] = {
            "move_price": data.draw(st.sampled_from([0, 0.01])),
            "max_moves": data.draw(st.sampled_from([0, 1, 0.2, 2.0])),
            "max_copies": data.draw(st.sampled_from([None, 0, 3])),
        }
        if not self.can_plan(after):
            missing = self.experts - after.used_slots
            says = "expert|divisible"
            if missing > 0 and not after.is_uniform:
                says = f"for each expert: {missing} more"
            with pytest.raises(eplb.TopologyError, match=says):
                eplb.replan(self.history, self.plan, **changes, **limits)
            return
        update = eplb.replan(self.history, self.plan, **changes, **limits)
        assert update.plan.cluster == after
        self.check(update)
        self.plan, self.cluster = update.plan, after

    def check(self, update: eplb.Migration) -> None:
        plan = update.plan
        eplb.verify(plan, self.history)
        assert (plan.phy2log[:, ~plan.cluster.used[plan.cluster.gpu_of_slot]] == -1).all()
        assert (plan.phy2log[:, plan.cluster.used[plan.cluster.gpu_of_slot]] >= 0).all()
        assert (plan.duplicates == 0).all()
        assert eplb.Plan.from_dict(plan.to_dict()) == plan
        assert eplb.replan(self.history, plan, max_moves=0).copies.sum() == 0
        before = update.previous_cluster
        placements = Placements(
            update.previous.tolist(),
            before.gpu_slots.tolist(),
            plan.phy2log.tolist(),
            plan.cluster.gpu_slots.tolist(),
            frozenset(plan.cluster.dead_gpus),
        )
        transfers = update.transfers()
        steps = read(np.array(transfers.table.tolist(), dtype=np.int64).reshape(-1, 9), placements)
        execute(placements, steps, seed=1)
        check_sources(placements, steps, dict(enumerate(plan.cluster.gpu_node.tolist())))
        stored = transfers.from_storage
        for layer, row in enumerate(update.previous):
            alive = ~np.isin(before.gpu_of_slot, plan.cluster.dead_gpus)
            lost = {*range(self.experts)} - {*row[alive].tolist()}
            assert {*stored[stored["layer"] == layer]["expert"].tolist()} == lost


Changes.TestCase.settings = settings(max_examples=150, stateful_step_count=12)
TestChanges = Changes.TestCase
