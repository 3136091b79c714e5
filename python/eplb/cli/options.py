"""Options that commands share, and what they mean."""

from __future__ import annotations

import math
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

import eplb
from eplb import limits
from eplb.engines import FORMAT_NAMES, METRICS
from eplb.errors import Note, Parameter, Part
from eplb.inputs.names import unknown
from eplb.inputs.shape_doubts import fits_ranks
from eplb.inputs.sizes import topology
from eplb.load_files import WRITERS, read_trace, read_windows
from eplb.load_files.axes import AXES
from eplb.load_files.oddities import notes_on_shape
from eplb.load_files.traces import is_large
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb.load_files import FileLoads


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None


def gap(text: str) -> float:
    """A gap, given as 0.0005 or 0.05%; the planner checks its range."""
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a number; expected for example 0.0005 or 0.05%"
        ) from None
    if text.endswith("%"):
        return number / 100
    if 1 <= number < math.inf:
        raise typer.BadParameter(
            f"{text} without % is {number * 100:g}%; did you mean {text}%? Expected a number below 1, "
            "or one with %"
        )
    return number


def share_or_number(text: str) -> float | int:
    """A share, given as 0.2 or 20%, or a whole number; the planner checks its range."""
    try:
        return int(text)
    except ValueError:
        return gap(text)


def number(option: str, help_text: str) -> Any:
    """An option for a whole number; eplb checks its range."""
    return typer.Option(option, metavar="N", parser=_whole_number, help=help_text)


def _numbers(text: str) -> list[int]:
    """``"0,32,64"``, as numbers, each once."""
    return [*dict.fromkeys(_whole_number(part.strip()) for part in text.split(","))]


def _layers(text: str) -> list[int]:
    return listed(text, "layer", limits.MAX_HIDDEN_LAYERS)


def listed(text: str, what: str, most: int) -> list[int]:
    """``"3-60"`` or ``"3,5,7-9"``, as numbers below ``most``."""
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?", part, re.ASCII)
        if found is None:
            raise typer.BadParameter(
                f"{text!r} is not a list of {what}s; expected for example 3-60 or 3,5,7-9"
            )
        first, last = (_index(digits, what, most) for digits in (found[1], found[2] or found[1]))
        if last < first:
            raise typer.BadParameter(
                f"{part.strip()!r} ends before it begins; expected for example 3-60"
            )
        numbers.extend(range(first, last + 1))
    return numbers


def _weights(text: str) -> list[float]:
    """``"3,1"`` as numbers; eplb checks them."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a list of numbers; expected for example 3,1"
        ) from None


def _index(digits: str, what: str, most: int) -> int:
    """A number below ``most``; Python refuses to read thousands of digits."""
    digits = digits.lstrip("0") or "0"
    if len(digits) > 9 or int(digits) >= most:
        raise typer.BadParameter(f"{what} {digits[:40]} is too large; expected 0 to {most - 1}")
    return int(digits)


def _known_metric(name: str | None) -> str | None:
    if name is not None and name not in METRICS:
        raise unknown("metric", name, METRICS)
    return name


LoadsPaths = Annotated[
    list[str],
    typer.Argument(
        metavar="LOADS",
        help="Loads [layers, experts] or [windows, layers, experts]: .npy, .npz, .csv, .json, .pt, "
        "an engine's dump, a folder, or - for standard input. Several files are windows, oldest first.",
    ),
]
HistoryFile = Annotated[
    str | None,
    typer.Option(
        "--history",
        metavar="FILE",
        help="What is remembered of past windows (.json): read if it is there, and written with "
        "these windows. Give each window once.",
    ),
]
Windows = Annotated[
    int | None,
    number(
        "--windows",
        "Merge the windows, for example the passes of a recorder, into N of about equal load.",
    ),
]
WrittenBy = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="NAME",
        help=f"Format of the loads: {', '.join(WRITERS)}. By default it is recognised.",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust-loads",
        help="Accept the numbers as loads, even if they look like numbers of experts or layers.",
    ),
]
Gpus = Annotated[int | None, number("--gpus", "GPUs of all nodes.")]
SeveralGpus = Annotated[
    Any,
    typer.Option(
        "--gpus",
        metavar="N,...",
        parser=_numbers,
        help="GPUs of all nodes; a row for each of several numbers.",
    ),
]
SeveralRedundant = Annotated[
    Any,
    typer.Option(
        "--redundant",
        metavar="N,...",
        parser=_numbers,
        help="Redundant slots per layer, as SGLang and vLLM count them; a row for each of several "
        "numbers, for example 0,32,64.",
    ),
]
Replicas = Annotated[
    int | None,
    number(
        "--replicas",
        "Slots per layer, redundant ones included. By default the fewest that fill all GPUs.",
    ),
]
Redundant = Annotated[
    int | None,
    number("--redundant", "Redundant slots per layer, as SGLang and vLLM count them."),
]
Groups = Annotated[int, number("--groups", "Groups of experts; each group stays on one node.")]
Nodes = Annotated[int, number("--nodes", "Nodes.")]
Threads = Annotated[int, number("--threads", "Threads to plan with. No answer depends on it.")]
Jobs = Annotated[int, number("--jobs", "Processes to run in. No answer depends on it.")]
Every = Annotated[int, number("--every", "Windows from one update to the next.")]
Warmup = Annotated[
    int | None,
    number("--warmup", "Windows before the first plan: by default 8, or a quarter of the trace."),
]
ExpertBytes = Annotated[
    int | None,
    number(
        "--expert-bytes",
        "Bytes of the weights of one expert of one layer; by default those that --config says.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Run on the Ray cluster at this address, or auto. No answer depends on it.",
    ),
]
ResultsFile = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write the results: .json, .csv or .parquet; or .jsonl, line by line as they come: what "
        "is there is not run again.",
    ),
]
Key = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="NAME",
        help="Which of several tables to read. Several --key are windows, in this order.",
    ),
]
Weights = Annotated[
    Any,
    typer.Option(
        "--weights",
        metavar="LIST",
        parser=_weights,
        help="Sum the keys, or else the files, with these weights, for example 3,1.",
    ),
]
Axes = Annotated[
    str | None,
    typer.Option(
        "--axes",
        metavar="LIST",
        help="What the axes of the loads are, by default windows,layers,experts: "
        f"out of {', '.join(AXES)}.",
    ),
]
NumLayers = Annotated[
    int | None, number("--num-layers", "Refuse loads of another number of layers.")
]
NumExperts = Annotated[
    int | None, number("--num-experts", "Refuse loads of another number of experts.")
]
CountedUnder = Annotated[
    str | None,
    typer.Option(
        "--placement",
        metavar="FILE",
        help="The loads are of slots, counted under this placement: a plan file, or that of an "
        "engine.",
    ),
]
ModelConfig = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The model's config.json: refuse loads of another shape.",
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="ENGINE",
        callback=_known_metric,
        help=f"Also show balancedness as this engine's log has it: {', '.join(METRICS)}.",
    ),
]
Layers = Annotated[
    Any,
    typer.Option(
        "--layers",
        metavar="LIST",
        parser=_layers,
        help="Hidden layers of the MoE layers, for example 3-60.",
    ),
]
HiddenLayers = Annotated[
    int | None,
    number("--num-hidden-layers", "Number of hidden layers of the model, dense ones included."),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The model's config.json: which hidden layers are MoE layers. Loads of another shape "
        "are refused.",
    ),
]
ExtraLayers = Annotated[
    Any,
    typer.Option(
        "--extra-layers",
        metavar="LIST",
        parser=_layers,
        help="Further MoE layers that trtllm's file must name, for example 61: those of multi-token "
        "prediction. By default those that --config says.",
    ),
]
Out = Annotated[str | None, typer.Option("--out", "-o", metavar="FILE", help="Write the plan.")]
Plot = Annotated[
    str | None,
    typer.Option(
        "--plot", metavar="FILE", help="Draw GPU loads before and after: .png, .svg, .pdf."
    ),
]
OutFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help=f"Format of the file: {', '.join(FORMAT_NAMES)}. A plan is .json or .npz; "
        "eplb verify reads it.",
    ),
]
LayersTable = Annotated[
    bool,
    typer.Option(
        "--layers-table",
        help="Show every layer, the worst first: balancedness before and after, gap, busiest GPU, "
        "hottest experts.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@dataclass(frozen=True)
class LoadOptions:
    """How to read the loads, as the options say."""

    key: list[str] | None
    written_by: str | None
    axes: str | None
    num_layers: int | None
    num_experts: int | None
    config: str | None
    placement: str | None
    weights: list[float] | None
    trust: bool

    def read(self, sources: list[str], windows: int | None = None) -> FileLoads:
        """The loads in these files or directories, maybe merged into so many windows; notes name options.

        Raises:
            EplbError, OSError: as :func:`eplb.load_files.read_windows`.
        """
        return self._spelled(read_windows(sources, **vars(self)), windows)

    def read_any(self, sources: list[str], windows: int | None = None) -> FileLoads:
        """The same; a trace that is too large to be read as a whole is read window by window."""
        read = self.read_trace if is_large(sources) else self.read
        return read(sources, windows)

    def read_trace(self, sources: list[str], windows: int | None = None) -> FileLoads:
        """The same of a trace that may be larger than memory: windows are read when they are asked for."""
        return self._spelled(read_trace(sources, **vars(self)), windows)

    def _spelled(self, read: FileLoads, windows: int | None) -> FileLoads:
        read = replace(read, notes=tuple(spelled(note) for note in read.notes))
        return read if windows is None else read.merged(windows)

    def inputs(self, sources: list[str]) -> list[tuple[str, str | None]]:
        """What is read, for :func:`~eplb.cli.targets.check_outputs`."""
        loads = [("the loads", source) for source in sources]
        return [*loads, ("the config", self.config), ("the placement", self.placement)]


@dataclass(frozen=True)
class SizeOptions:
    """The sizes as the options give them."""

    gpus: int | None
    replicas: int | None
    redundant: int | None
    groups: int | None
    nodes: int | None
    threads: int

    def arguments(self, experts: int) -> dict[str, Any]:
        """The arguments of :func:`eplb.plan` for loads of so many experts.

        Raises:
            EplbError: the options exclude each other.
        """
        replicas = self.replicas
        if self.redundant is not None:
            if replicas is not None:
                raise eplb.EplbError("give --replicas or --redundant, not both")
            if self.redundant < 0:
                raise eplb.EplbError(
                    f"--redundant {self.redundant} is too small; expected at least 0"
                )
            replicas = experts + self.redundant
        return {
            "num_gpus": self.gpus,
            "num_replicas": replicas,
            "num_groups": self.groups,
            "num_nodes": self.nodes,
            "threads": self.threads,
        }

    @contextmanager
    def spelled_in_errors(self, read: FileLoads) -> Iterator[None]:
        """Lets errors about slots speak of ``--redundant``, if that option was given.

        If the loads may be something else, so that the sizes go together for other ones, the error says
        that first.
        """
        experts = read.experts
        try:
            yield
        except eplb.EplbError as error:
            spelled = error
            if isinstance(error, eplb.TopologyError):
                doubt = self._doubt(read)
                spelled = type(error)(*doubt, *error.parts, hint=error.hint)
            if self.redundant is not None:
                spelled = spelled.renamed(lambda parameter: _redundant(parameter, experts))
            if spelled is error:
                raise
            raise spelled from error

    def _doubt(self, read: FileLoads) -> list[Part]:
        """What the loads may be instead, so that the sizes go together for other ones; or nothing."""
        layers, experts = read.windows[0].shape
        if (words := fits_ranks(len(read.windows), layers, experts)) is not None:
            return [words, "; if so, give ", Parameter("axes", "layers,ranks,slots"), ". As read, "]
        if self._fits_transposed(layers, experts):
            loads = f"{count(layers, 'layer')} x {count(experts, 'expert')}"
            return [f"the loads have {loads}; is the table transposed? As read, "]
        notes = [spelled(note) for note in notes_on_shape(layers, experts)]
        first = any(window[:, 0].any() for window in read.windows)
        why = "" if first else " Expert 0 has no load: are experts numbered from 1?"
        return [f"{note}.{why} As read, " for note in notes if note in read.notes]

    def _fits_transposed(self, layers: int, experts: int) -> bool:
        """Whether there are more layers than experts, and the sizes would go together for so many."""
        if layers <= experts or self.gpus is None:
            return False
        sizes = self.arguments(layers)
        sizes.pop("threads")
        sizes |= {name: 1 for name in ("num_groups", "num_nodes") if sizes[name] is None}
        try:
            topology(num_experts=layers, **sizes)
        except eplb.EplbError:
            return False
        return True


def _redundant(parameter: Parameter, experts: int) -> Parameter:
    """Slots as redundant slots, if there are at least as many as experts."""
    if parameter.name != "num_replicas" or parameter.value is None:
        return parameter
    try:
        redundant = int(parameter.value) - experts
    except ValueError:
        return parameter
    if redundant < 0:
        return parameter
    return Parameter("redundant", f"{redundant} ({count(experts + redundant, 'slot')})")


_OPTIONS = {
    "num_gpus": "--gpus",
    "num_replicas": "--replicas",
    "redundant": "--redundant",
    "num_groups": "--groups",
    "num_nodes": "--nodes",
    "num_hidden_layers": "--num-hidden-layers",
    "layers": "--layers",
    "extra_layers": "--extra-layers",
    "config": "--config",
    "format": "--format",
    "key": "--key",
    "weights": "--weights",
    "axes": "--axes",
    "num_layers": "--num-layers",
    "num_experts": "--num-experts",
    "placement": "--placement",
    "written_by": "--from",
    "metric": "--metric",
    "trust": "--trust-loads",
    "policy": "--policy",
    "effort": "--effort",
    "target_gap": "--target-gap",
    "threads": "--threads",
    "jobs": "--jobs",
    "ray": "--ray",
    "model": "--model",
    "seed": "--seed",
    "experts": "--experts",
    "top_k": "--top-k",
    "tokens": "--tokens",
    "windows": "--windows",
    "domains": "--domains",
    "drift": "--drift",
    "gpu_slots": "--slots",
    "gpu_speed": "--speed",
    "dead_gpus": "--dead",
    "drain_gpus": "--drain",
    "live_gpus": "--live",
    "without_unused_gpus()": "--renumber",
    "added_gpus": "--gpus",
    "previous_format": "--previous-format",
    "previous_gpus": "--previous-gpus",
    "move_price": "--move-price",
    "max_moves": "--max-moves",
    "max_copies": "--max-copies",
    "expert_bytes": "--expert-bytes",
    "setting": "--settings",
    "one_setting": "--setting",
    "per_slot": "--per-slot",
    "every": "--every",
    "warmup": "--warmup",
    "event": "--event",
    "time_model": "--time-model",
    "most_copies": "--most-copies",
    "min_balancedness": "--min-balancedness",
    "max_gap": "--max-gap",
}


def spell(parameter: Parameter) -> str:
    """A parameter of an error as the option that it is on the command line."""
    if parameter.name == "num_experts" and parameter.value is not None:
        # Not --num-experts, which is only a check: the loads say how many there are.
        return f"the number of experts, {parameter.value},"
    option = _OPTIONS.get(parameter.name)
    if option is None:
        return str(parameter)
    return option if parameter.value in (None, "True") else f"{option} {parameter.value}"


def spelled(note: str) -> str:
    """A note with the options of the command line."""
    return note.text(spell) if isinstance(note, Note) else note
