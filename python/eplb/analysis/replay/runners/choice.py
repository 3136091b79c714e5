"""Which runner a user asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb.analysis.replay.runners.in_process import InProcess
from eplb.errors import EplbError
from eplb.inputs.sizes import whole_number

if TYPE_CHECKING:
    from eplb.analysis.replay.runners.steps import Runner

#: More processes than this are not started.
MAX_JOBS = 256


def runner_of(jobs: int = 1) -> Runner:
    """The runner for so many processes.

    Raises:
        EplbError, TypeError: it is not a positive whole number.
    """
    number = min(whole_number("jobs", jobs, EplbError), MAX_JOBS)
    if number == 1:
        return InProcess()
    from eplb.analysis.replay.runners.processes import Processes

    return Processes(number)
