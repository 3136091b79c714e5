"""``eplb advise``."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

import eplb
from eplb.analysis.advice.advising import prepare
from eplb.analysis.advice.choices import redundant_of
from eplb.analysis.advice.knees import PER_SLOT
from eplb.analysis.advice.text import cells_of, ending_of, headings_of, is_knee, title_of
from eplb.analysis.replay.settings import KINDS
from eplb.cli.cells import end, results_files, run_steps
from eplb.cli.figures import lines_of
from eplb.cli.options import (
    AsJson,
    Axes,
    CountedUnder,
    Every,
    ExpertBytes,
    Groups,
    Jobs,
    Key,
    LoadOptions,
    LoadsPaths,
    ModelConfig,
    Nodes,
    NumExperts,
    NumLayers,
    Ray,
    ResultsFile,
    SeveralGpus,
    SizeOptions,
    Threads,
    Trust,
    Warmup,
    Weights,
    Windows,
    WrittenBy,
    gap,
    spell,
)
from eplb.cli.output import fitted, say, table_text
from eplb.cli.targets import check_outputs
from eplb.cli.weights import expert_bytes as bytes_of_expert
from eplb.errors import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb.analysis.advice.advice import Advice


def advise_command(
    trace: LoadsPaths,
    *,
    gpus: SeveralGpus,
    redundant: Annotated[
        str | None,
        typer.Option(
            "--redundant",
            metavar="RANGE",
            help="Redundant slots per layer: 0..96 (at most nine numbers that go with the GPUs), "
            "0..96:16 (with a step), or 0,16,32. By default from 0 to half as many as there are "
            "experts.",
        ),
    ] = None,
    groups: Groups = 1,
    nodes: Nodes = 1,
    setting: Annotated[
        str,
        typer.Option(
            "--setting",
            metavar="SETTING",
            help="How to plan, as for eplb replay, for example multiwindow:rows=8. Out of "
            f"{', '.join(KINDS)}.",
        ),
    ] = "multiwindow",
    every: Every = 1,
    warmup: Warmup = None,
    expert_bytes: ExpertBytes = None,
    per_slot: Annotated[
        Any,
        typer.Option(
            "--per-slot",
            metavar="DIFFERENCE",
            parser=gap,
            help="What a further slot of each GPU must bring, in mean balancedness.",
        ),
    ] = str(PER_SLOT),
    out: ResultsFile = None,
    threads: Threads = 1,
    jobs: Jobs = 1,
    ray: Ray = None,
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
    """Show how many redundant slots to take.

    What each number of them reaches on the next window of a trace.
    """
    reading = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, placement, weights, trust_loads
    )
    check_outputs(reading.inputs(trace), {"--out": out})
    kept, saved = results_files(out)
    redundant_of(redundant)
    of_expert = bytes_of_expert(config, expert_bytes)
    read = reading.read_trace(trace, windows)
    sizes = SizeOptions(gpus[0], None, None, groups, nodes, threads)
    with sizes.spelled_in_errors(read), _one_setting():
        run = prepare(
            read,
            num_gpus=gpus,
            redundant=redundant,
            setting=setting,
            num_groups=groups,
            num_nodes=nodes,
            every=every,
            warmup=warmup,
            expert_bytes=of_expert,
            per_slot=per_slot,
            threads=threads,
            jobs=jobs,
            ray=ray,
            results=kept,
        )
        stopped = run_steps(run, str)
    advice = run.advice()
    if saved is not None:
        advice.save(saved)
    if as_json:
        values = {**advice.to_dict(), "left_out": [note.text(spell) for note in advice.left_out]}
        say(json.dumps({**values, "out": out, "notes": [*read.notes]}))
    else:
        say(_text(advice, [*read.notes], out))
    with sizes.spelled_in_errors(read), _one_setting():
        end(stopped=stopped, lost=advice.lost)


@contextmanager
def _one_setting() -> Iterator[None]:
    """Lets errors speak of ``--setting``, not of the list of ``eplb replay``."""

    def renamed(parameter: Parameter) -> Parameter:
        one = parameter.name == "setting"
        return Parameter("one_setting", parameter.value) if one else parameter

    try:
        yield
    except eplb.EplbError as error:
        raise error.renamed(renamed) from error


def _text(advice: Advice, notes: list[str], out: str | None) -> str:
    """The text of ``print(advice)``, with the knees in green."""
    points = advice.points
    knees = [at for at, point in enumerate(points) if is_knee(advice, point)]
    table = table_text(
        headings_of(advice), [cells_of(advice, point) for point in points], green=knees
    )
    above, below = "\n".join(title_of(advice)), "\n".join(ending_of(advice, spell))
    more = [*lines_of("note", notes), *lines_of("written to", [] if out is None else [out])]
    return "\n".join([fitted(above), "", table, "", fitted("\n".join([below, *more]))])
