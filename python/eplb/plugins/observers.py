"""Who is told of a window: the log, the recorder, the metrics. On rank 0 alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from logging import INFO
from typing import TYPE_CHECKING

import numpy as np

from eplb.plugins import tables
from eplb.plugins.metrics import Metrics
from eplb.plugins.recorder import Recorder
from eplb.plugins.window import Window
from eplb.plugins.writer import Writer

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from eplb.plan_tables import IntTable
    from eplb.plugins.answers import Answer
    from eplb.plugins.call import Call
    from eplb.plugins.failures import Failures
    from eplb.plugins.settings import Settings


class Observers:
    """Tells them; a file that cannot be written is logged once."""

    def __init__(
        self, engine: str, settings: Settings, log: logging.Logger, failures: Failures
    ) -> None:
        self._engine, self._log, self._failures = engine, log, failures
        self._windows: Counter[int] = Counter()
        files: dict[str, Callable[[Window], None]] = {}
        if settings.record is not None:
            recorder = Recorder(
                settings.record, engine=engine, max_bytes=settings.record_mb * 2**20
            )
            # Windows without load would push the others out while nobody asks anything.
            files["records"] = lambda each: (
                None if each.decision == "no load" else recorder.add(each)
            )
        if settings.metrics is not None:
            files["metrics"] = Metrics(settings.metrics).add
        self._files, self._writer = files, Writer(files, log)

    def add(self, call: Call, answer: Answer, now: float, seconds: float) -> None:
        """Tells them of a window, on another thread: the engine does not wait. Never raises."""
        try:
            model = answer.model or 0
            number = self._windows[model]
            # The call of an engine that only measures its memory has no load, and is no window.
            self._windows[model] += answer.decided != "no load"
            if not self._files and not self._log.isEnabledFor(INFO):
                return
            # The engine may write into its tables meanwhile.
            call = replace(call, load=call.load.copy(), previous=_copy(call.previous))
            answer = replace(answer, phy2log=answer.phy2log.copy())
            self._writer.put(lambda: self._described(call, answer, number, now, seconds))
        except Exception as error:  # noqa: BLE001 - an engine must live on
            self._failures.tell(error, "a window cannot be told", call)

    def _described(
        self, call: Call, answer: Answer, number: int, now: float, seconds: float
    ) -> Window | None:
        """The window, which is in the log by then; None if it cannot be described."""
        try:
            window = self._window(call, answer, number, now, seconds)
            self._say(window)
        except Exception as error:  # noqa: BLE001
            self._failures.tell(error, "a window cannot be described", call)
            return None
        return window

    def _window(
        self, call: Call, answer: Answer, number: int, now: float, seconds: float
    ) -> Window:
        old, new = call.previous, answer.phy2log
        # What is no load is told as none; the reason says what was wrong with it.
        load = call.load if call.has_counts else np.zeros(call.load.shape, dtype=np.int64)
        before = after = None
        copies, per_gpu = 0, call.slots_per_gpu
        if per_gpu is not None:
            copies = tables.copies(old, new, per_gpu)
            after = tables.balancedness(load, new, per_gpu, call.dead)
            if old is not None and old.shape == new.shape:
                before = tables.balancedness(load, old, per_gpu, call.dead)
        return Window(
            engine=self._engine,
            model=answer.model or 0,
            number=number,
            time=now,
            load=load,
            previous=old,
            phy2log=new,
            num_gpus=call.num_gpus,
            num_nodes=call.num_nodes,
            num_groups=call.num_groups,
            dead_gpus=call.dead_gpus,
            decision=answer.decided,
            reason=answer.reason,
            copies=copies,
            shifted=answer.shifted,
            balancedness_before=before,
            balancedness_after=after,
            seconds=seconds,
            digest=answer.digest,
        )

    def _say(self, window: Window) -> None:
        """One line."""
        share = window.copies / window.phy2log.size
        figures = f"balancedness {_ratio(window.balancedness_before)}"
        if window.copies:
            figures += f" -> {_ratio(window.balancedness_after)}"
        self._log.info(
            "eplb: model %d, window %d: %s; %s, %d copies (%.2f%% of the slots), %.1f ms%s%s",
            window.model,
            window.number,
            window.decision,
            figures,
            window.copies,
            100 * share,
            1000 * window.seconds,
            f", digest {window.digest}" if window.digest else "",
            f" ({window.reason})" if window.reason else "",
        )


def _copy(table: IntTable | None) -> IntTable | None:
    return None if table is None else table.copy()


def _ratio(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
