"""Whether a setting can plan, before anything runs: it does so once, for a layer without load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb.analysis.replay.events import after
from eplb.analysis.replay.planners import Situation
from eplb.analysis.replay.trace import Trace
from eplb.errors import EplbError

if TYPE_CHECKING:
    from eplb.analysis.replay.cells import Course
    from eplb.analysis.replay.settings import Setting
    from eplb.plans import Plan


def refusal(setting: Setting, course: Course, trace: Trace) -> EplbError | TypeError | None:
    """Why it cannot plan, on the GPUs of all windows: impossible sizes or options; None if it can.

    Somebody else's planner is not asked. Takes a plan of one layer for each event.
    """
    if setting.planner is not None:
        return None
    empty = np.zeros((1, trace.num_experts), np.int64)
    place = f"setting {setting.name}"
    cluster, learnt = course.cluster, 0
    previous: Plan | None = None
    try:
        planner = setting.make(Trace([empty, empty], 1, trace.num_experts), 1)
        for window in _stages(setting, course, len(trace)):
            if previous is not None:
                place = f"setting {setting.name}, window {window}"
            cluster, emptied = after(cluster, course.happens(window))
            now = Situation(window, cluster, course.num_groups, previous, emptied)
            previous = planner([empty] * (window - learnt), now)
            learnt = window
    except EplbError as error:
        return error.within(place)
    except TypeError as error:
        return TypeError(f"{place}: {error}")
    return None


def _stages(setting: Setting, course: Course, windows: int) -> list[int]:
    """Windows before which anything is new for a setting."""
    stages = {course.warmup, *(event.window for event in course.events)}
    if (late := setting.options.get("windows", 0) - course.warmup) > 0:
        stages.add(course.warmup + -(-late // course.every) * course.every)
    return sorted(window for window in stages if course.warmup <= window < windows)
