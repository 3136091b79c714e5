"""The settings of a plug-in: environment variables, each checked at start."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb.balancer import Balancer
from eplb.errors import EplbError, Parameter
from eplb.inputs.names import nearest, unknown
from eplb.planning import DEFAULT_POLICY_OVER_TIME, POLICIES, plan
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


#: Threads that a rank plans with, if nothing is said. All ranks of a host plan at once.
_MOST_THREADS = 4


def _usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """How a plug-in plans, and what it writes. Each field is an environment variable."""

    policy: str = DEFAULT_POLICY_OVER_TIME
    history: int = 16
    decay: float = 0.98
    move_price: float = 0.01
    max_moves: float = 0.2
    max_moves_after_shift: float | None = None
    max_copies: int | None = None
    threads: int = field(default_factory=lambda: min(_MOST_THREADS, _usable_cores()))
    record: Path | None = None
    record_mb: int = 256
    metrics: Path | None = None
    off_file: Path = Path(tempfile.gettempdir(), "eplb.off")
    timeout: float = 60.0

    def options(self) -> dict[str, Any]:
        """What plans depend on, and so what must be equal on all ranks."""
        own = {"threads", "record", "record_mb", "metrics", "off_file", "timeout"}
        return {name: value for name, value in asdict(self).items() if name not in own}

    def balancer(self, **sizes: int) -> Balancer:
        """A new balancer with these options."""
        return Balancer(
            **sizes,
            rows=self.history,
            decay=self.decay,
            move_price=self.move_price,
            max_moves=self.max_moves,
            max_moves_after_shift=self.max_moves_after_shift,
            max_copies=self.max_copies,
            threads=self.threads,
        )


@dataclass(frozen=True)
class Variable:
    """An environment variable."""

    field: str
    read: Callable[[str], Any]

    @property
    def name(self) -> str:
        """``EPLB_MAX_COPIES`` for ``max_copies``."""
        return f"EPLB_{self.field.upper()}"


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise EplbError(f"{short(text)} is not a whole number") from None


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise EplbError(f"{short(text)} is not a number") from None


def _share_or_number(text: str) -> float:
    """An int is a number of copies, anything else a share of the slots."""
    return int(text) if text.isdecimal() else _real(text)


def _seconds(text: str) -> float:
    seconds = _real(text)
    if not 0 < seconds <= 300:
        raise EplbError(f"{short(text)} is out of range; expected seconds, above 0 and at most 300")
    return seconds


def _path(text: str) -> Path:
    """A shell may not have seen the ``~``."""
    return Path(text).expanduser()


def _megabytes(text: str) -> int:
    number = _whole(text)
    if not 1 <= number <= 2**20:
        raise EplbError(f"{short(text)} is out of range; expected MiB, from 1 to {2**20}")
    return number


#: All variables but EPLB_PLUGIN. docs/plug-ins.md has the same ones.
VARIABLES = (
    Variable("policy", str),
    Variable("history", _whole),
    Variable("decay", _real),
    Variable("move_price", _real),
    Variable("max_moves", _share_or_number),
    Variable("max_moves_after_shift", _share_or_number),
    Variable("max_copies", _whole),
    Variable("threads", _whole),
    Variable("record", _path),
    Variable("record_mb", _megabytes),
    Variable("metrics", _path),
    Variable("off_file", _path),
    Variable("timeout", _seconds),
)
_SWITCH = "EPLB_PLUGIN"
#: Of this project, but not of the plug-ins.
_OTHERS = {"EPLB_ENGINE_WHEELS"}


def is_on(environment: Mapping[str, str]) -> bool:
    """Whether EPLB_PLUGIN asks for the plug-in."""
    return environment.get(_SWITCH, "").strip().lower() not in {"", "0", "off", "false", "no"}


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings that the variables say; an empty variable counts as not set.

    Raises:
        EplbError: a value is invalid; the message names the variable.
    """
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        text = environment.get(variable.name, "").strip()
        if text:
            try:
                values[variable.field] = variable.read(text)
            except EplbError as error:
                raise error.within(variable.name) from None
    switch = environment.get(_SWITCH, "").strip().lower()
    if switch not in {"1", "on", "true", "yes"}:
        if switch not in POLICIES:
            raise unknown(_SWITCH, switch, ("1", "0", *POLICIES))
        if values.setdefault("policy", switch) != switch:
            raise EplbError(
                f"EPLB_POLICY is {values['policy']!r}, but {_SWITCH} is {switch!r}",
                hint=[f"set {_SWITCH}=1"],
            )
    settings = Settings(**values)
    try:
        _try_out(settings)
    except EplbError as error:
        raise error.renamed(_as_variable) from None
    return settings


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A line for each variable EPLB_... that means nothing."""
    known = {variable.name for variable in VARIABLES} | {_SWITCH} | _OTHERS
    lines = []
    for name in sorted(environment):
        if name.startswith("EPLB_") and name not in known:
            near = nearest(name, known)
            meant = "" if near is None else f"; did you mean {near}?"
            lines.append(f"the variable {name} means nothing to eplb{meant}")
    return lines


def _try_out(settings: Settings) -> None:
    """Plans a little, which checks all options."""
    load = [[3, 1]]
    balancer = settings.balancer()
    balancer.step(load, balancer.step(load, num_gpus=1, num_replicas=2).plan)
    if settings.policy != DEFAULT_POLICY_OVER_TIME:
        plan(load, num_gpus=1, num_replicas=2, policy=settings.policy)


def _as_variable(parameter: Parameter) -> Parameter:
    """A parameter of Python as the variable that sets it."""
    field = {"rows": "history"}.get(parameter.name, parameter.name)
    known = {each.name for each in fields(Settings)}
    return Parameter(f"EPLB_{field.upper()}", parameter.value) if field in known else parameter
