"""How to plan as a setting did: commands, and variables of the plug-ins."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from eplb.analysis.replay.events import after
from eplb.planning import DEFAULT_POLICY_OVER_TIME, HISTORY_POLICIES
from eplb.text import count

if TYPE_CHECKING:
    from eplb.analysis.replay.cells import Course
    from eplb.analysis.replay.settings import Setting

# Options of the balancer that have another name as environment variables of the plug-ins.
_VARIABLES = {"rows": "history"}
# Options that the command line takes as shares.
_SHARES = {"move_price", "target_gap"}


@dataclass(frozen=True)
class NextSteps:
    """What to run; words in capitals stand for files."""

    #: Plans an update, or a plan that is kept; None if no command does.
    command: str | None = None
    #: Makes the files that ``command`` reads, if it reads any: the first plan.
    first_command: str | None = None
    #: Environment variables for eplb's plug-ins; None if no variables do.
    variables: dict[str, str] | None = None
    #: What stands for what, and why a command or variables are missing.
    notes: tuple[str, ...] = ()


def steps_of(setting: Setting, course: Course, num_experts: int) -> NextSteps:
    """The next steps, on the GPUs as they are at the end of the trace."""
    sizes = _sizes(course, num_experts)
    given = {*setting.options}
    notes = []
    command = first = None
    if setting.planner is not None:
        notes.append("no command and no variables: it is your own planner")
    elif setting.kind == "trivial":
        notes.append("no command and no variables: engines start with this placement")
    elif setting.kind in HISTORY_POLICIES and {"rows", "decay"} & given:
        notes.append("no command: the command line has no option for rows and decay of a history")
    elif sizes is None:
        notes.append("no command: at the end, the GPUs are not equal or not all in use")
    elif setting.kind in HISTORY_POLICIES:
        first = f"eplb plan WINDOWS {sizes} --history history.json --out plan.json"
        known = "--previous plan.json --history history.json"
        which = "NEWEST_WINDOW" if course.every == 1 else "NEWEST_WINDOWS"
        command = " ".join([f"eplb replan {which}", known, *_options(setting), "--out plan.json"])
        since = "" if course.every == 1 else f"; NEWEST_WINDOWS: {course.every}, for each update"
        notes.append(f"WINDOWS: those before the first plan (here {course.warmup}){since}")
    elif setting.kind == "static":
        policy = setting.options.get("policy", DEFAULT_POLICY_OVER_TIME)
        number = setting.options.get("windows", course.warmup)
        command = f"eplb plan WINDOWS {sizes} --policy {policy} --out plan.json"
        notes.append(f"once, for a plan that is kept; WINDOWS: {count(number, 'window')}")
    else:
        options = [f"--policy {setting.kind}", *_options(setting)]
        command = " ".join(["eplb plan NEWEST_WINDOW", sizes, *options, "--out plan.json"])
    variables = None
    if setting.kind == "static":
        notes.append("no variables: the plug-ins update again and again")
    elif {"effort", "target_gap"} & given:
        notes.append("no variables: the plug-ins have none for effort and target gap")
    elif setting.updates and setting.planner is None:
        variables = _variables(setting)
    if setting.updates and course.every != 1:
        notes.append(f"an update every {course.every} windows, as it was replayed")
    return NextSteps(command, first, variables, tuple(notes))


def _sizes(course: Course, num_experts: int) -> str | None:
    """The GPUs at the end as options of ``eplb plan``; None if these are not all."""
    cluster, _ = after(course.cluster, course.events)
    if not cluster.is_uniform:
        return None
    sizes = f"--gpus {cluster.num_gpus} --redundant {cluster.num_slots - num_experts}"
    if course.num_groups > 1:
        sizes += f" --groups {course.num_groups}"
    if cluster.num_nodes > 1:
        sizes += f" --nodes {cluster.num_nodes}"
    return sizes


def _options(setting: Setting) -> list[str]:
    return [
        f"--{name.replace('_', '-')} {_spelled(name, value)}"
        for name, value in setting.options.items()
    ]


def _spelled(name: str, value: Any) -> str:
    """A value for the command line, which takes a share of 1 or more in percent only."""
    share = isinstance(value, float) or name in _SHARES
    return f"{Decimal(str(value)) * 100}%" if share and value >= 1 else str(value)


def _variables(setting: Setting) -> dict[str, str]:
    named = {"policy": setting.kind, **setting.options}
    return {
        f"EPLB_{_VARIABLES.get(name, name).upper()}": str(value) for name, value in named.items()
    }
