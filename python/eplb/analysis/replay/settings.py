"""Settings: ways to plan, each with a name; and how to set them in an engine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from eplb.analysis.replay.others import Other
from eplb.analysis.replay.planners import Anew, Balanced, Hindsight, Static, Trivial
from eplb.errors import EplbError
from eplb.inputs.names import unknown
from eplb.planning import HISTORY_POLICIES, POLICIES
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eplb.analysis.replay.planners import Planner
    from eplb.analysis.replay.trace import Trace

_BALANCER = ("rows", "decay", "move_price", "max_moves", "max_moves_after_shift", "max_copies")
_ANEW = [name for name in POLICIES if name not in HISTORY_POLICIES]
#: The kinds of settings, and their options.
KINDS: dict[str, tuple[str, ...]] = {
    "trivial": (),
    "static": ("windows", "policy"),
    **{name: ("effort", "target_gap") if name == "minimax" else () for name in _ANEW},
    **dict.fromkeys(HISTORY_POLICIES, _BALANCER),
    "hindsight": (),
}
#: What is replayed if nothing else is said.
DEFAULT_SETTINGS = (
    "trivial",
    "static",
    "deepseek",
    "minimax",
    "multiwindow",
    "multiwindow:move_price=0.005",
    "multiwindow:move_price=0.024",
    "multiwindow:rows=8",
    "hindsight",
)
_TEXTS = {"policy", "effort"}
_WHOLE = {"rows", "windows", "max_copies"}


@dataclass(frozen=True)
class Setting:
    """A way to plan."""

    name: str
    #: One of ``KINDS``, or ``"callable"``.
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Somebody else's planner, if it is one.
    planner: Callable[..., Any] | None = None

    def make(self, trace: Trace, warmup: int) -> Planner:
        """A planner that has seen nothing."""
        if self.planner is not None:
            return Other(self.planner)
        if self.kind == "trivial":
            return Trivial()
        if self.kind == "hindsight":
            return Hindsight(trace, warmup)
        if self.kind == "static":
            return Static(
                self.options.get("windows", warmup), self.options.get("policy", "multiwindow")
            )
        if self.kind in HISTORY_POLICIES:
            return Balanced(**self.options)
        return Anew(policy=self.kind, **self.options)

    @property
    def usable(self) -> bool:
        """Whether it can be had in time."""
        return self.kind != "hindsight"

    @property
    def updates(self) -> bool:
        """Whether it goes on planning: ``static`` does not, whenever it plans."""
        return self.kind not in ("trivial", "static", "hindsight")


def settings_of(given: Any) -> list[Setting]:
    """Settings of texts such as ``"multiwindow:rows=8,move_price=0.005"``, of callables, or of both.

    A dict gives names to them.

    Raises:
        EplbError, TypeError: one is not understood, or two have one name.
    """
    if isinstance(given, str):
        given = given.split()
    elif isinstance(given, Setting) or callable(given):
        given = [given]
    if hasattr(given, "items"):
        found = [_setting(value, str(name)) for name, value in given.items()]
    elif hasattr(given, "__iter__"):
        found = _numbered([_setting(value, None) for value in given])
    else:
        raise _not_a_setting(given)
    if not found:
        raise EplbError("there are no settings to replay; expected at least one")
    names: set[str] = set()
    for setting in found:
        if setting.name in names:
            raise EplbError(
                f"two settings have the name {short(setting.name)}; in Python a dict gives names to settings"
            )
        names.add(setting.name)
    return found


def _setting(given: Any, name: str | None) -> Setting:
    if isinstance(given, Setting):
        return given
    if isinstance(given, type):
        raise TypeError(f"{given.__name__} is a class; give an object of it, {given.__name__}(...)")
    if callable(given):
        return Setting(name or _name_of(given), "callable", planner=given)
    if not isinstance(given, str):
        raise _not_a_setting(given)
    kind, _, rest = given.strip().partition(":")
    if kind not in KINDS and (names := {*kind.split(",")}) <= {*KINDS}:
        raise EplbError(
            f"{short(given)} is not a setting; put blanks between settings: {' '.join(sorted(names))}"
        )
    if kind not in KINDS:
        raise unknown("setting", kind, KINDS)
    options = {}
    for part in rest.split(",") if rest else ():
        option, equals, value = (word.strip() for word in part.partition("="))
        if not equals or option not in KINDS[kind]:
            raise _not_an_option(given, kind, option)
        if option in options:
            raise EplbError(f"setting {short(given)}: {option} is given twice")
        options[option] = _value(given, option, value)
    return Setting(name or given.strip(), kind, options)


def _name_of(planner: Any) -> str:
    """A name for a callable that was given none."""
    if isinstance(planner, partial):
        return _name_of(planner.func)
    name = getattr(planner, "__name__", type(planner).__name__)
    return "lambda" if name == "<lambda>" else str(name)


def _numbered(settings: list[Setting]) -> list[Setting]:
    """Callables of one name are told apart by numbers: ``lambda``, ``lambda 2``."""
    seen: dict[str, int] = {}
    found = []
    for setting in settings:
        seen[setting.name] = number = seen.get(setting.name, 0) + 1
        twin = number > 1 and setting.planner is not None
        found.append(replace(setting, name=f"{setting.name} {number}") if twin else setting)
    return found


def _not_a_setting(given: Any) -> TypeError:
    return TypeError(
        f"a setting is a text or a callable, got {short(given)}; for example 'multiwindow:rows=8', or "
        "planner(load, previous, sizes)"
    )


def _not_an_option(given: str, kind: str, option: str) -> EplbError:
    if not KINDS[kind]:
        return EplbError(f"setting {short(given)}: {kind} has no options")
    return EplbError(
        f"setting {short(given)}: {short(option)} is not an option of {kind}; expected "
        f"{', '.join(KINDS[kind])}, each with a value, for example {kind}:{KINDS[kind][0]}=8"
        if kind != "minimax"
        else f"setting {short(given)}: {short(option)} is not an option of minimax; expected for "
        "example minimax:effort=fast"
    )


def _value(given: str, option: str, text: str) -> Any:
    if option == "policy" and text not in POLICIES:
        raise unknown("policy", text, POLICIES)
    if option in _TEXTS:
        return text
    try:
        if option in _WHOLE or text.isdecimal():
            value: float = int(text)
        else:
            value = float(text)
    except ValueError:
        what = "a whole number" if option in _WHOLE else "a number"
        raise EplbError(
            f"setting {short(given)}: {option} is {short(text)}; expected {what}"
        ) from None
    if option == "windows" and value < 1:
        raise EplbError(f"setting {short(given)}: windows is {text}; expected at least 1")
    return value
