"""What a plug-in says and keeps if something failed: one log line, and a file to reproduce it."""

from __future__ import annotations

import json
import os
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import eplb

if TYPE_CHECKING:
    import logging

    from eplb.history import LoadHistory
    from eplb.plugins.call import Call
    from eplb.plugins.settings import Settings

#: Files of a process.
_MOST_FILES = 3
#: Kinds of failures that are told apart.
_MOST_KINDS = 100


def must_pass(error: BaseException) -> bool:
    """Whether an error is a request to end. All others are caught, a panic in Rust too."""
    return isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit))


class Failures:
    """Tells each kind of failure once."""

    def __init__(self, log: logging.Logger, engine: str, settings: Settings) -> None:
        self._log, self._engine = log, engine
        self._options = settings.options()
        self._folder = settings.record or Path(tempfile.gettempdir())
        self._told: set[str] = set()
        self._files = 0

    def tell(
        self,
        error: BaseException,
        what: str,
        call: Call | None = None,
        history: LoadHistory | None = None,
    ) -> None:
        """Logs an error, and keeps the inputs, if it is the first of its kind. Never raises."""
        try:
            place = traceback.extract_tb(error.__traceback__)[-1:]
            kind = (
                f"{type(error).__name__} {place[0].filename}:{place[0].lineno}" if place else what
            )
            if not self._is_new(kind):
                return
            kept = "" if call is None else self._kept(error, call, history)
            inputs = "" if call is None else f" ({_shapes(call)})"
            trace = None if isinstance(error, ValueError) else error  # a bad input explains itself
            self._log.error("eplb: %s%s: %s%s", what, inputs, error, kept, exc_info=trace)
        except Exception:  # noqa: BLE001 - an engine must live on
            self._log.error("eplb: %s: %s", what, error)

    def say_once(self, sentence: str) -> None:
        """Logs a sentence, once."""
        if self._is_new(sentence):
            self._log.error("eplb: %s", sentence)

    def _is_new(self, kind: str) -> bool:
        if kind in self._told or len(self._told) >= _MOST_KINDS:
            return False
        self._told.add(kind)
        return True

    def _kept(self, error: BaseException, call: Call, history: LoadHistory | None) -> str:
        if self._files >= _MOST_FILES:
            return ""
        self._files += 1
        when = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        name = f"eplb-failure-{self._engine}-{when}-{os.getpid()}-{self._files}.npz"
        facts = {
            "eplb": eplb.__version__,
            "engine": self._engine,
            "error": f"{type(error).__name__}: {error}",
            "sizes": {
                "num_slots": call.num_slots,
                "num_gpus": call.num_gpus,
                "num_nodes": call.num_nodes,
                "num_groups": call.num_groups,
            },
            "dead_gpus": list(call.dead_gpus),
            "options": self._options,
            "history": None if history is None or not history.windows else history.to_dict(),
        }
        arrays = {"load": call.load, "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}
        if call.previous is not None:
            arrays["previous"] = call.previous
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(self._folder / name, allow_pickle=False, **arrays)
        except Exception as problem:  # noqa: BLE001
            return f"; the inputs could not be kept: {problem}"
        return f"; to reproduce it: eplb record --reproduce {self._folder / name}"


def _shapes(call: Call) -> str:
    previous = "none" if call.previous is None else f"{list(call.previous.shape)}"
    return (
        f"load {list(call.load.shape)} {call.load.dtype}, map {previous}, {call.num_slots} slots on "
        f"{call.num_gpus} GPUs, {call.num_nodes} nodes, {call.num_groups} groups, dead "
        f"{list(call.dead_gpus)}"
    )
