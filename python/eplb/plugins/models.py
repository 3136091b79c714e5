"""Which balancer is whose: engines that balance two models do not say which one they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb.balancer import Balancer
    from eplb.plan_tables import IntTable
    from eplb.plugins.call import Call

#: More than this are not remembered.
_MOST = 8


class Model:
    """What is remembered of one model: its balancer, and the map that was answered last."""

    def __init__(self, index: int, balancer: Balancer, sizes: tuple[int, ...]) -> None:
        self.index, self.balancer, self.sizes = index, balancer, sizes
        self.answered: IntTable | None = None
        #: The map in force at the last call, which still is if the engine did not take the answer.
        self.asked: IntTable | None = None
        self.used = 0


class Models:
    """The models of an engine.

    A model is known by its sizes and by the map in force: at least in some layers it is the one that was
    answered last. If the engine did not take the answer it is the one that was in force then; but right
    after a call with this map it may be a second model, which begins with the same one. If two models have
    equal maps, they are asked in turn. All this is equal on all ranks, new ones too: if the cluster
    changes, or the map has gaps, nobody remembers.
    """

    def __init__(self, balancer: Callable[[Call], Balancer]) -> None:
        self._new_balancer = balancer
        self._models: list[Model] = []
        #: Numbers that models of these sizes have had.
        self._indices: dict[tuple[int, ...], list[int]] = {}
        self._cluster = (0, 0, 0)
        self._calls = 0

    def forget(self) -> None:
        """As if nothing had been seen."""
        self._models = []

    def model_of(self, call: Call) -> Model:
        """The model that the call is for, which may be a new one."""
        cluster = call.num_slots, call.num_gpus, call.num_nodes
        if cluster != self._cluster:
            self._models, self._cluster = [], cluster
        sizes = (*call.load.shape, call.groups)
        if call.previous is not None and has_gaps(call):
            self._models = [model for model in self._models if model.sizes != sizes]
        known = [model for model in self._models if model.sizes == sizes]
        likeness = {model.index: self._likeness(model, call.previous) for model in known}
        known = [model for model in known if likeness[model.index]]
        if known:
            model = max(known, key=lambda model: (likeness[model.index], -model.used))
        else:
            model = Model(self._free_index(call.load.shape), self._new_balancer(call), sizes)
            self._models.append(model)
        self._calls += 1
        model.used, model.asked = self._calls, call.previous
        if len(self._models) > _MOST:
            self._models.remove(min(self._models, key=lambda each: each.used))
        return model

    def _likeness(self, model: Model, previous: IntTable | None) -> int:
        """In how many layers this may be the model's map."""
        layers = _equal_layers(model.answered, previous)
        if not layers and model.used != self._calls:
            layers = _equal_layers(model.asked, previous)
        return layers

    def index_of(self, call: Call) -> int:
        """The number of a model of these sizes, for calls that are not planned."""
        return self._indices.setdefault(call.load.shape, [self._next_index()])[0]

    def _free_index(self, sizes: tuple[int, ...]) -> int:
        """A number that models of these sizes have had, or a new one."""
        taken = {model.index for model in self._models}
        had = self._indices.setdefault(sizes, [])
        for index in had:
            if index not in taken:
                return index
        had.append(self._next_index())
        return had[-1]

    def _next_index(self) -> int:
        return sum(len(each) for each in self._indices.values())


def has_gaps(call: Call) -> bool:
    """Whether the map in force lacks something that the new one has."""
    if call.previous is None or call.previous.shape[1] != call.num_slots:
        return True
    return bool((call.previous[:, ~call.dead] < 0).any())


def _equal_layers(known: IntTable | None, previous: IntTable | None) -> int:
    """Layers in which the two maps are one, but for empty slots."""
    if known is None or previous is None or known.shape != previous.shape:
        return 0
    equal = (known == previous) | (known < 0) | (previous < 0)
    return int(np.count_nonzero(equal.all(axis=1)))
