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
        self.used = 0


class Models:
    """The models of an engine.

    A model is known by its sizes and by the map in force, which is the one that was answered last, at
    least in some layers. Of two with equal maps the one that was not asked for longer is next. All this
    is equal on all ranks, new ones too: if the cluster changes, or the map has gaps, nobody remembers.
    """

    def __init__(self, balancer: Callable[[Call], Balancer]) -> None:
        self._new_balancer = balancer
        self._models: list[Model] = []
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
        likeness = {model.index: _equal_layers(model.answered, call.previous) for model in known}
        known = [model for model in known if likeness[model.index]]
        if known:
            model = max(known, key=lambda model: (likeness[model.index], -model.used))
        else:
            taken = {model.index for model in self._models}
            index = next(number for number in range(_MOST + 1) if number not in taken)
            model = Model(index, self._new_balancer(call), sizes)
            self._models.append(model)
        self._calls += 1
        model.used = self._calls
        if len(self._models) > _MOST:
            self._models.remove(min(self._models, key=lambda each: each.used))
        return model


def has_gaps(call: Call) -> bool:
    """Whether the map in force lacks something that the new one has."""
    if call.previous is None or call.previous.shape[1] != call.num_slots:
        return True
    return bool((call.previous[:, ~call.dead] < 0).any())


def _equal_layers(answered: IntTable | None, previous: IntTable | None) -> int:
    """Layers in which the two maps are one, but for empty slots."""
    if answered is None or previous is None or answered.shape != previous.shape:
        return 0
    equal = (answered == previous) | (answered < 0) | (previous < 0)
    return int(np.count_nonzero(equal.all(axis=1)))
