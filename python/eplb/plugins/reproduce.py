"""Planning again what failed in an engine, from the file that was kept of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import EplbError
from eplb.history import LoadHistory
from eplb.plugins.answers import plan_of
from eplb.plugins.call import Call
from eplb.plugins.settings import Settings
from eplb.replanning import replan
from eplb.storage.decode import bytes_of, values_of

if TYPE_CHECKING:
    from os import PathLike

    from eplb.migration import Migration


@dataclass(frozen=True)
class Reproduction:
    """What failed in the engine, and what comes of it now."""

    #: Type and message of the error, and the version of eplb.
    error: str
    version: str
    #: The error now; empty if planning works.
    now: str


def reproduce(path: str | PathLike[str]) -> Reproduction:
    """Plans again.

    Raises:
        EplbError: it is not the file of a failure. OSError: it cannot be read.
    """
    try:
        values = values_of(bytes_of(path), Path(path).suffix)
        facts = json.loads(bytes(values["facts"]))
        settings = Settings(**facts["options"])
        kept, sizes = facts["history"], facts["sizes"]
        history = LoadHistory(settings.history, settings.decay)
        if kept is not None:
            history = LoadHistory.from_dict(kept)
        dead = tuple(facts["dead_gpus"])
        call = Call(values["load"], values.get("previous"), **sizes, dead_gpus=dead)
        error, version = str(facts["error"]), str(facts["eplb"])
    except (EplbError, KeyError, TypeError, ValueError, AttributeError) as problem:
        raise EplbError(
            f"{path} is not the file of a failure that eplb kept",
            hint=["give the file eplb-failure-*.npz that the log names"],
        ) from problem
    options = {
        name: facts["options"][name]
        for name in ("move_price", "max_moves", "max_moves_after_shift", "max_copies")
    }

    def step(load: Any, previous: Any, **given: Any) -> Migration:
        history.observe(load)
        if previous is None:
            previous = np.full(call.shape, -1)
        sizes = {"num_groups": call.groups, "num_nodes": call.num_nodes, **given}
        return replan(history, previous, **sizes, **options)

    try:
        call.check()
        plan_of(call, settings, step)
        now = ""
    except Exception as now_raised:  # noqa: BLE001 - whatever it is, it is the answer
        now = f"{type(now_raised).__name__}: {now_raised}"
    return Reproduction(error, version, now)
