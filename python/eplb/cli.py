"""The command line: ``eplb plan``, ``eplb compare`` and ``eplb verify``.

Exit codes: 0 done, 1 a check failed, 2 bad use or input. A mistake of the user's is one line on
standard error. With ``--json``, standard output holds one JSON object and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.table import Table

import eplb
from eplb.comparison import Comparison, Row, compare, figures_of, sizes_of
from eplb.load_files import FileLoads, read_loads
from eplb.planner import DEFAULT_POLICY
from eplb.summary import count, loaded_layers

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE, CHECK_FAILED, BAD_INPUT = 0, 1, 2
#: As a shell has it for a program that the end of its reader has ended.
READER_GONE = 141

_WIDTH = 80
#: More layers than any model has.
_MANY_LAYERS = 256

# A mistyped option, whatever the release of typer calls it.
_USE_ERROR: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError"
)

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDTH},
)


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no whole number") from None


def _number(option: str, help_text: str) -> Any:
    return typer.Option(option, metavar="N", parser=_whole_number, help=help_text)


LoadsPath = Annotated[
    str,
    typer.Argument(
        metavar="LOADS",
        help="Loads [layers, experts] or [windows, layers, experts]: .npy, .npz, .csv, .json, .pt, "
        "or - for standard input.",
    ),
]
Gpus = Annotated[int, _number("--gpus", "GPUs of all nodes.")]
Replicas = Annotated[
    int | None,
    _number(
        "--replicas", "Slots of a layer, spares included; by default as many as fill the last GPU."
    ),
]
Redundant = Annotated[
    int | None, _number("--redundant", "Spare slots of a layer, instead of --replicas.")
]
Groups = Annotated[int, _number("--groups", "Groups of experts, each whole on a node.")]
Nodes = Annotated[int, _number("--nodes", "Nodes.")]
Threads = Annotated[int, _number("--threads", "Threads. No answer depends on it.")]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="NAME", help="Which array of a file of several to read."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]


@dataclass(frozen=True)
class _Sizes:
    """The sizes as the options give them."""

    gpus: int
    replicas: int | None
    redundant: int | None
    groups: int
    nodes: int
    threads: int

    def arguments(self, experts: int) -> dict[str, Any]:
        """The arguments of :func:`eplb.plan` for loads of so many experts."""
        replicas = self.replicas
        if self.redundant is not None:
            if replicas is not None:
                raise eplb.EplbError("give --replicas or --redundant, not both")
            if self.redundant < 0:
                raise eplb.EplbError(f"--redundant is {self.redundant}; it must be at least 0")
            replicas = experts + self.redundant
        return {
            "num_gpus": self.gpus,
            "num_replicas": replicas,
            "num_groups": self.groups,
            "num_nodes": self.nodes,
            "threads": self.threads,
        }


# -- Commands -------------------------------------------------------------------------------------


@app.callback(invoke_without_command=True)
def _eplb(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Balance the experts of Mixture-of-Experts models over GPUs."""
    if version:
        _say(f"eplb {eplb.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        _write(sys.stderr, context.get_help())
        raise typer.Exit(BAD_INPUT)


@app.command("plan", epilog="Example: eplb plan loads.npy --gpus 32 --redundant 32 --out plan.json")
def _plan(
    loads: LoadsPath,
    *,
    gpus: Gpus,
    replicas: Replicas = None,
    redundant: Redundant = None,
    groups: Groups = 1,
    nodes: Nodes = 1,
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME", help=f"One of: {', '.join(eplb.POLICIES)}.")
    ] = DEFAULT_POLICY,
    threads: Threads = 1,
    key: Key = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write the plan, .json or .npz.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan which experts get copies, and which GPU holds what."""
    sizes = _Sizes(gpus, replicas, redundant, groups, nodes, threads)
    if out is not None and _same_file(loads, out):
        raise eplb.EplbError(f"--out {out} would overwrite the loads; name another file")
    read = read_loads(loads, key=key)
    with _words_of_options(sizes, read):
        made = eplb.plan(read.table, policy=policy, **sizes.arguments(read.table.shape[1]))
    if out is not None:
        made.save(out)
    if as_json:
        _say(json.dumps({**_plan_values(made), "out": out, "notes": _notes(read)}))
        return
    lines = [_line("note", note) for note in _notes(read)]
    if out is not None:
        lines.append(_line("written to", out))
    _say("\n".join([str(made), *lines]))


@app.command("compare", epilog="Example: eplb compare loads.npy --gpus 32 --replicas 288")
def _compare(
    loads: LoadsPath,
    *,
    gpus: Gpus,
    replicas: Replicas = None,
    redundant: Redundant = None,
    groups: Groups = 1,
    nodes: Nodes = 1,
    threads: Threads = 1,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Compare every policy with the trivial placement."""
    sizes = _Sizes(gpus, replicas, redundant, groups, nodes, threads)
    read = read_loads(loads, key=key)
    with _words_of_options(sizes, read):
        comparison = compare(read.table, **sizes.arguments(read.table.shape[1]))
    if as_json:
        _say(json.dumps({**_comparison_values(comparison), "notes": _notes(read)}))
        return
    _say("\n".join([comparison_text(comparison), *(f"note: {note}" for note in _notes(read))]))


@app.command("verify", epilog="Example: eplb verify plan.json loads.npy")
def _verify(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan file, .json or .npz.")],
    loads: LoadsPath,
    *,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Check a plan file against the loads it is for."""
    try:
        message = eplb.verify(eplb.load_plan(plan), read_loads(loads, key=key).table)
    except eplb.VerificationError as error:
        if as_json:
            place = {name: getattr(error, name) for name in ("layer", "slot", "expert")}
            _say(json.dumps({"verified": False, "message": str(error), **place}))
        raise
    _say(json.dumps({"verified": True, "message": message}) if as_json else message)


def _same_file(one: str, other: str) -> bool:
    return os.path.exists(other) and os.path.realpath(one) == os.path.realpath(other)  # noqa: PTH110


# -- What is printed ------------------------------------------------------------------------------


def _notes(read: FileLoads) -> tuple[str, ...]:
    """What a user should know of the loads that were read."""
    layers, experts = read.table.shape
    if layers <= _MANY_LAYERS:
        return read.notes
    doubt = f"{layers} layers of {experts} experts: are these loads transposed, or expert ids?"
    return (*read.notes, doubt)


def _line(name: str, text: str) -> str:
    """A line under those of ``print(plan)``."""
    return f"  {name:<14}{text}"


def _plan_values(plan: eplb.Plan) -> dict[str, Any]:
    return {
        "policy": plan.policy,
        "digest": plan.digest(),
        **asdict(sizes_of(plan)),
        "fallback": plan.fallback,
        "loaded_layers": len(loaded_layers(plan)),
        **asdict(figures_of(plan)),
    }


def _comparison_values(comparison: Comparison) -> dict[str, Any]:
    rows = [
        {
            "name": row.name,
            "digest": row.digest,
            **asdict(row.figures),
            "milliseconds": row.milliseconds,
        }
        for row in comparison.rows
    ]
    return {
        **asdict(comparison.sizes),
        "fallback": comparison.fallback,
        "loaded_layers": comparison.loaded_layers,
        "rows": rows,
    }


def comparison_text(comparison: Comparison) -> str:
    """The comparison as a table of 80 columns; with colours where standard output shows them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("policy\n")
    for heading in (
        "balancedness\nmean",
        "\nworst",
        "gap to bound\nmean",
        "\nworst",
        "duplicate\nslots",
        "planning\nms",
    ):
        table.add_column(heading, justify="right")
    best = min(_gap(row) for row in comparison.rows)
    for row in comparison.rows:
        table.add_row(*_cells(row), style="green" if _gap(row) == best else "")
    console = Console(width=2 * _WIDTH, highlight=False)  # nothing is cut where figures are long
    with console.capture() as capture:
        console.print(table)
    return "\n".join([*_sizes_lines(comparison), "", capture.get().rstrip("\n")])


def _sizes_lines(comparison: Comparison) -> list[str]:
    sizes = comparison.sizes
    slots = f"{count(sizes.num_experts, 'expert')} in {count(sizes.num_replicas, 'slot')}"
    lines = [f"{count(sizes.num_layers, 'layer')}: {slots} on {count(sizes.num_gpus, 'GPU')}"]
    if comparison.fallback:
        lines.append(
            f"groups: {sizes.num_groups}, no multiple of {sizes.num_nodes} nodes: planned globally"
        )
    elif sizes.num_nodes > 1:
        lines.append(f"{sizes.num_groups} groups, each whole on one of {sizes.num_nodes} nodes")
    without = sizes.num_layers - comparison.loaded_layers
    if without:
        lines.append(f"{count(without, 'layer')} without load, left out of means and worst")
    return lines


def _gap(row: Row) -> float:
    return 0.0 if row.figures.gap_mean is None else row.figures.gap_mean


def _cells(row: Row) -> list[str]:
    figures = row.figures
    return [
        row.name,
        _shown(figures.balancedness_mean, ".4f"),
        _shown(figures.balancedness_worst, ".4f"),
        _shown(figures.gap_mean, ".3%"),
        _shown(figures.gap_worst, ".3%"),
        str(figures.duplicates),
        _shown(row.milliseconds, ".2f"),
    ]


def _shown(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:  # as where the shell was told >&-
        stream.write(f"{text}\n")
        stream.flush()


def _say(text: str) -> None:
    """Prints ``text`` at once, so that what goes wrong does so here."""
    try:
        _write(sys.stdout, text)
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(READER_GONE) from error
        error.filename = "standard output"
        raise


def _discard_output() -> None:
    """Lets standard output end in nothing, so that the interpreter's last flush cannot fail."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), sys.stdout.fileno())


# -- Errors ---------------------------------------------------------------------------------------


@contextmanager
def _words_of_options(sizes: _Sizes, read: FileLoads) -> Iterator[None]:
    """Names sizes in errors as they are named on the command line."""
    try:
        yield
    except eplb.EplbError as error:
        text = re.sub(r"\bnum_(gpus|replicas|groups|nodes)\b", r"--\1", str(error))
        text = re.sub(r"^threads\b", "--threads", text)
        if sizes.redundant is not None and "--replicas" in text:
            experts = read.table.shape[1]
            text = f"{experts} experts and --redundant {sizes.redundant}: {text}"
        raise eplb.EplbError(text) from error


def _complain(message: str) -> None:
    """One line on standard error, whatever a stranger's file put into the message."""
    line = " ".join(message.split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    _write(sys.stderr, f"eplb: {line[:500]}")


def _exit_code(error: Exception) -> int:
    """Complains of an error of the user's and gives its exit code; raises any other."""
    match error:
        case eplb.VerificationError():
            _complain(str(error))
            return CHECK_FAILED
        case eplb.EplbError() | eplb.LoadTypeError():
            _complain(str(error))
        case OSError():
            what = f"{error.filename}: " if error.filename is not None else ""
            _complain(f"{what}{error.strerror or error}")
        case MemoryError():
            _complain("not enough memory for loads or plan of this size")
        case _ if isinstance(error, _USE_ERROR):
            _complain(error.format_message())  # type: ignore[attr-defined]
        case _:
            raise error
    return BAD_INPUT


def _never_fail_on_a_character(stream: TextIO | None) -> None:
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; ``arguments`` are by default those of the process.

    Returns the exit code.
    """
    _never_fail_on_a_character(sys.stdout)
    _never_fail_on_a_character(sys.stderr)
    try:
        code = app(arguments, prog_name="eplb", standalone_mode=False)
    except Exception as error:  # noqa: BLE001
        return _exit_code(error)
    return code if isinstance(code, int) else DONE


if __name__ == "__main__":
    sys.exit(main())
