"""What every plug-in does at a window: plan, compare with the other ranks, remember, tell.

It never raises and never answers an invalid map. What it answers depends on nothing but the calls so
far, which are equal on all ranks, or all ranks agree on it.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import eplb
from eplb.plugins.agreement import GO, Agreement, Decision, Proposal
from eplb.plugins.answers import Answer, old_map, plan_of
from eplb.plugins.failures import Failures, must_pass
from eplb.plugins.models import Models
from eplb.plugins.observers import Observers

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from eplb.balancer import Balancer
    from eplb.plan_tables import IntTable
    from eplb.plugins.call import Call
    from eplb.plugins.models import Model
    from eplb.plugins.settings import Settings


Form = TypeVar("Form")


@dataclass(frozen=True)
class Ranks:
    """The ranks that answer a call together."""

    rank: int
    size: int
    #: Their process group, whose key-value store they share; None if they cannot compare anything.
    group: Any = None


class Rebalancer:
    """The planner of one engine in one process. Threads may call it at once."""

    def __init__(self, engine: str, settings: Settings, log: logging.Logger) -> None:
        self._settings, self._log = settings, log
        self._setup = {"EPLB": eplb.__version__, **settings.options()}
        self._models = Models(self._new_balancer)
        self._failures = Failures(log, engine, settings)
        self._observers = Observers(engine, settings, log, self._failures)
        self._lock = Lock()
        self._alone = Agreement(None, 1, 0)
        self._agreement, self._compared_in = self._alone, None
        self._given_up = ""  # why the engine's own planner answers from now on

    def answer(self, call: Call, ranks: Callable[[], Ranks], own: Callable[[], IntTable]) -> Answer:
        """The map to answer; see :meth:`answer_as`."""
        return self.answer_as(lambda answer: answer, call, ranks, own)

    def answer_as(
        self,
        form: Callable[[Answer], Form],
        call: Call,
        ranks: Callable[[], Ranks],
        own: Callable[[], IntTable],
    ) -> Form:
        """The map to answer, in the form that the engine takes.

        Args:
            form: makes it. Nobody is told of the window before, so that nothing runs beside it.
            call: what the engine asks.
            ranks: says who answers this call.
            own: the engine's own planner; it is called if the answer is ``own planner``.
        """
        with self._lock:
            now = time.time()
            us = self._ranks(ranks)
            started = time.perf_counter()
            if us is None or self._given_up:
                answer = self._own(
                    call, own, self._given_up or "this rank does not know the others"
                )
                seconds = time.perf_counter() - started
            else:
                off = self._is_off(us)
                mine = old_map(call, "old map", "switched off") if off else self._planned(call)
                seconds = time.perf_counter() - started
                decision = self._decision(call, mine, us, off=off)
                answer = self._carried_out(call, mine, decision, own)
            made = form(answer)
            if us is not None and us.rank == 0:
                if answer.model is None:
                    answer = replace(answer, model=self._models.index_of(call))
                self._observers.add(call, answer, now, seconds)
            return made

    def first_that_works(self, *ways: Callable[[], Any]) -> Any:
        """What the first of these functions returns that does not raise; the last one may."""
        for way in ways[:-1]:
            try:
                return way()
            except BaseException as error:
                if must_pass(error):
                    raise
                self._failures.tell(error, "the engine's call cannot be answered")
        return ways[-1]()

    def _ranks(self, ranks: Callable[[], Ranks]) -> Ranks | None:
        """Who answers; they compare nothing if they have no store.

        None if this rank does not know: then the others wait for it in vain, and all of them leave the
        answer to the engine's own planner.
        """
        try:
            us = ranks()
        except Exception as error:  # noqa: BLE001
            self._failures.tell(error, "this rank does not know the others")
            return None
        if us.group is None or self._compared_in is us.group:
            return us
        try:
            self._agreement = Agreement(us.group.get_group_store(), us.size, self._settings.timeout)
        except Exception as error:  # noqa: BLE001
            self._failures.tell(error, "the ranks have no store in which to compare their plans")
            return replace(us, group=None)
        self._compared_in, self._given_up = us.group, ""  # other ranks, which may agree
        return us

    def _is_off(self, us: Ranks) -> bool:
        """Whether this rank is switched off. Ranks that compare nothing cannot be: others may be on."""
        if us.group is None and us.size > 1:
            return False
        try:
            return self._settings.off_file.exists()
        except OSError:
            return False

    def _new_balancer(self, call: Call) -> Balancer:
        return self._settings.balancer(num_groups=call.groups, num_nodes=call.num_nodes)

    def _planned(self, call: Call) -> Answer:
        """What eplb answers; the map in force if it fails."""
        model = None
        try:
            call.check()
            if call.is_whole and not call.load.any():
                return old_map(call, "no load")
            model = self._models.model_of(call)
            answer = self._plan_for(model, call)
        except BaseException as error:
            if must_pass(error):
                raise
            history = None if model is None else model.balancer.history
            self._failures.tell(error, "planning failed", call, history)
            answer = old_map(call, "old map", f"{type(error).__name__}: {error}")
        if model is None:
            return answer
        model.answered = answer.phy2log
        return replace(answer, model=model.index)

    def _plan_for(self, model: Model, call: Call) -> Answer:
        # Of a window without load nothing is learnt.
        balancer = model.balancer if call.load.any() else self._new_balancer(call)
        answer = plan_of(call, self._settings, balancer.step)
        return replace(answer, state=balancer.digest())

    def _decision(self, call: Call, mine: Answer, us: Ranks, *, off: bool) -> Decision:
        """What all ranks do."""
        agreement = self._alone if us.group is None else self._agreement
        proposal = Proposal(
            setup=self._setup,
            inputs=_digest(call.load, call.previous),
            answer=_digest(mine.phy2log) + mine.state,
            off=str(self._settings.off_file) if off else "",
        )
        return agreement.decide(proposal)

    def _carried_out(
        self, call: Call, mine: Answer, decision: Decision, own: Callable[[], IntTable]
    ) -> Answer:
        """What is answered in the end."""
        if decision.kind == GO:
            return mine
        self._models.forget()
        if decision.kind == "off":
            return self._own(call, own, decision.reason)
        if decision.kind in {"setup", "missing"}:
            self._given_up = decision.reason
            self._log.error(
                "eplb: %s. The engine's own planner answers from now on.", decision.reason
            )
        else:
            self._failures.say_once(f"{decision.reason}. The map in force stays")
        if decision.kind == "missing":
            return self._own(call, own, decision.reason)  # as on the ranks that did not come
        return old_map(call, "old map", decision.reason)

    def _own(self, call: Call, own: Callable[[], IntTable], reason: str) -> Answer:
        """What the engine's own planner answers."""
        try:
            return Answer(own(), "own planner", reason)
        except Exception as error:  # noqa: BLE001
            self._failures.tell(error, "the engine's own planner failed", call)
            return old_map(call, "old map", f"the engine's own planner failed: {error}")


def _digest(*arrays: IntTable | None) -> str:
    parts = hashlib.sha256()
    for array in arrays:
        parts.update(b"none" if array is None else f"{array.shape}".encode() + array.tobytes())
    return parts.hexdigest()[:16]
