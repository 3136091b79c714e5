"""``eplb replay``."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

import eplb
from eplb.analysis.replay.results import checked_ending
from eplb.analysis.replay.running import prepare
from eplb.analysis.replay.settings import DEFAULT_SETTINGS, KINDS
from eplb.analysis.replay.text import cells_of, ending_of, headings_of, title_of
from eplb.cli.figures import lines_of
from eplb.cli.options import (
    AsJson,
    Axes,
    CountedUnder,
    Gpus,
    Groups,
    Key,
    LoadOptions,
    LoadsPaths,
    ModelConfig,
    Nodes,
    NumExperts,
    NumLayers,
    Redundant,
    Replicas,
    SizeOptions,
    Threads,
    Trust,
    Weights,
    Windows,
    WrittenBy,
    gap,
    number,
)
from eplb.cli.output import complain, fitted, progress, say, table_text
from eplb.cli.targets import check_outputs
from eplb.cli.weights import expert_bytes as bytes_of_expert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb.analysis.replay.results import Replay
    from eplb.analysis.replay.running import Run

#: The exit code of a program that Ctrl-C ended.
INTERRUPTED = 130


def replay_command(
    trace: LoadsPaths,
    *,
    gpus: Gpus = None,
    replicas: Replicas = None,
    redundant: Redundant = None,
    groups: Groups = 1,
    nodes: Nodes = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--settings",
            metavar="LIST",
            help="What to replay, with blanks between, for example 'trivial deepseek "
            f"multiwindow:rows=8,move_price=0.005'. Out of {', '.join(KINDS)}. By default "
            f"{' '.join(DEFAULT_SETTINGS)}.",
        ),
    ] = None,
    every: Annotated[int, number("--every", "Windows from one update to the next.")] = 1,
    warmup: Annotated[
        int | None,
        number(
            "--warmup", "Windows before the first plan: by default 8, or a quarter of the trace."
        ),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="WINDOW:CHANGE",
            help="What happens to GPUs before a window is served: 40:dead=5, 50:drain=8,9, 60:live=5, "
            "70:add=2. May be given several times.",
        ),
    ] = None,
    expert_bytes: Annotated[
        int | None,
        number(
            "--expert-bytes",
            "Bytes of the weights of one expert of one layer; by default those that --config says.",
        ),
    ] = None,
    time_model: Annotated[
        str | None,
        typer.Option(
            "--time-model",
            metavar="FLAT,SLOPE,KNEE",
            help="Estimate what imbalance costs: a layer takes flat + slope * max(0, max/mean - knee).",
        ),
    ] = None,
    most_copies: Annotated[
        Any,
        typer.Option(
            "--most-copies",
            metavar="SHARE",
            parser=gap,
            help="The budget of what is recommended: the share of the slots that an update may fill.",
        ),
    ] = "0.2",
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the results: .json or .csv."),
    ] = None,
    threads: Threads = 1,
    windows: Windows = None,
    key: Key = None,
    written_by: WrittenBy = None,
    axes: Axes = None,
    num_layers: NumLayers = None,
    num_experts: NumExperts = None,
    placement: CountedUnder = None,
    weights: Weights = None,
    config: ModelConfig = None,
    trust_loads: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Show what settings would have reached on a trace: each plan is judged on the next window."""
    reading = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, placement, weights, trust_loads
    )
    check_outputs(reading.inputs(trace), {"--out": out})
    if out is not None:
        checked_ending(out)
    of_expert = bytes_of_expert(config, expert_bytes)
    read = reading.read_trace(trace, windows)
    sizes = SizeOptions(gpus, replicas, redundant, groups, nodes, threads)
    if gpus is None:
        raise eplb.EplbError("give --gpus")
    with sizes.spelled_in_errors(read):
        run = prepare(
            read,
            None if settings is None else " ".join(settings),
            cluster=None,
            every=every,
            warmup=warmup,
            events=event or (),
            expert_bytes=of_expert,
            time_model=time_model,
            most_copies=most_copies,
            **sizes.arguments(read.experts),
        )
        finished = _run(run)
    replayed = run.replay() if finished or run.done else None
    if replayed is None:
        complain("interrupted before any window was judged")
        raise typer.Exit(INTERRUPTED)
    if out is not None:
        replayed.save(out)
    notes = [*read.notes, *run.notes]
    if as_json:
        say(json.dumps({**replayed.to_dict(), "out": out, "notes": notes}))
    else:
        say(_text(replayed, notes, out))
    if not finished:
        complain("interrupted: the results are those of the windows that were done")
        raise typer.Exit(INTERRUPTED)


def _run(run: Run) -> bool:
    """Runs all cells; False if Ctrl-C ended it."""
    try:
        with _interruptible(), progress("replaying", run.num_steps) as advance:
            for setting in run.steps():
                advance(setting.name)
    except KeyboardInterrupt:
        return False
    return True


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lets Ctrl-C raise KeyboardInterrupt; elsewhere it ends the program at once."""
    try:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # not in the main thread, which alone gets signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _text(replay: Replay, notes: list[str], out: str | None) -> str:
    """The text of ``print(replay)``, with the recommended setting in green."""
    rows = [cells_of(replay, result) for result in replay.results]
    taken = [at for at, row in enumerate(rows) if row[0] == replay.recommendation.setting]
    table = table_text(headings_of(replay), rows, space=1, left=[0], green=taken)
    above, below = "\n".join(title_of(replay)), "\n".join(ending_of(replay))
    more = [*lines_of("note", notes), *lines_of("written to", [] if out is None else [out])]
    return "\n".join([fitted(above), "", table, "", fitted("\n".join([below, *more]))])
