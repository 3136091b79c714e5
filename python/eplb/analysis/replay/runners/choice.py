"""Which runner a user asks for."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from eplb.analysis.replay.runners.in_process import InProcess
from eplb.errors import EplbError, Parameter
from eplb.inputs.sizes import whole_number
from eplb.text import short

if TYPE_CHECKING:
    from eplb.analysis.replay.runners.steps import Runner

#: More processes than this are not started.
MAX_JOBS = 256


def runner_of(jobs: int = 1, ray: str | None = None) -> Runner:
    """The runner for so many processes, or for the Ray cluster at an address.

    Raises:
        EplbError, TypeError: it is not a positive whole number; both are given; or there is no Ray.
    """
    number = min(whole_number("jobs", jobs, EplbError), MAX_JOBS)
    if ray is not None:
        return _on_ray(number, ray)
    if number == 1:
        return InProcess()
    from eplb.analysis.replay.runners.processes import Processes

    return Processes(number)


def _on_ray(jobs: int, address: str) -> Runner:
    if jobs > 1:
        raise EplbError("give ", Parameter("jobs"), " or ", Parameter("ray"), ", not both")
    if not isinstance(address, str):
        raise TypeError(f"ray must be an address, such as 'auto', got {short(address)}")
    if find_spec("ray") is None:
        raise EplbError("ray is needed (eplb's extra ray)", hint=["pip install ray"])
    from eplb.analysis.replay.runners.on_ray import OnRay

    return OnRay(address)
