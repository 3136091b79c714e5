"""``eplb replan``."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

import eplb
from eplb.analysis.comparison import sizes_of
from eplb.cli.clusters import (
    ClusterOptions,
    Dead,
    Drain,
    Live,
    Renumber,
    Slots,
    Speed,
    check_slots_alone,
    write_plan,
)
from eplb.cli.figures import engine_named, group_notes, lines_of, plan_values
from eplb.cli.histories import history_with
from eplb.cli.layers_table import layers_table as table_of_layers
from eplb.cli.options import (
    AsJson,
    Axes,
    Config,
    CountedUnder,
    ExtraLayers,
    HiddenLayers,
    HistoryFile,
    Key,
    Layers,
    LayersTable,
    LoadOptions,
    LoadsPaths,
    NumExperts,
    NumLayers,
    Out,
    OutFormat,
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
    share_or_number,
)
from eplb.cli.output import busy, fitted, say
from eplb.cli.placements import OWN_SIZES, or_format, own_sizes, read_placement, rows_of
from eplb.cli.targets import check_outputs
from eplb.cli.weights import expert_bytes as bytes_of_expert
from eplb.engines import FORMAT_NAMES
from eplb.engines.target import target
from eplb.errors import Parameter
from eplb.text import count
from eplb.transfers import check_ending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.cli.placements import ReadPlacement
    from eplb.engines.target import Target
    from eplb.transfers import Transfers

_GB = 1e9


def replan_command(
    loads: LoadsPaths,
    *,
    previous: Annotated[
        str,
        typer.Option(
            "--previous",
            metavar="FILE",
            help="The placement in force: a plan file, or the placement file of an engine.",
        ),
    ],
    previous_format: Annotated[
        str | None,
        typer.Option(
            "--previous-format",
            metavar="NAME",
            help=f"Format of the placement in force: {', '.join(FORMAT_NAMES)}. By default it is "
            "recognised.",
        ),
    ] = None,
    previous_gpus: Annotated[
        int | None,
        number("--previous-gpus", "GPUs of the placement in force, if neither it nor --gpus says."),
    ] = None,
    history: HistoryFile = None,
    gpus: Annotated[int | None, number("--gpus", "GPUs of all nodes, if they change.")] = None,
    replicas: Replicas = None,
    redundant: Redundant = None,
    groups: Annotated[int | None, number("--groups", "Groups of experts, as for plan.")] = None,
    nodes: Annotated[int | None, number("--nodes", "Nodes, as for plan.")] = None,
    slots: Slots = None,
    speed: Speed = None,
    dead: Dead = None,
    drain: Drain = None,
    live: Live = None,
    move_price: Annotated[
        Any,
        typer.Option(
            "--move-price",
            metavar="SHARE",
            parser=gap,
            help="What moving all slots must gain, of the GPU loads: 0.01 or 1%.",
        ),
    ] = "0.01",
    max_moves: Annotated[
        Any,
        typer.Option(
            "--max-moves",
            metavar="N",
            parser=share_or_number,
            help="The most copies of a layer: a number, or a share of its slots such as 0.2 or 20%.",
        ),
    ] = "0.2",
    max_moves_after_shift: Annotated[
        Any,
        typer.Option(
            "--max-moves-after-shift",
            metavar="N",
            parser=share_or_number,
            help="The same after a shift of the traffic; by default three times as many.",
        ),
    ] = None,
    max_copies: Annotated[
        int | None, number("--max-copies", "The most copies of all layers.")
    ] = None,
    expert_bytes: Annotated[
        int | None,
        number(
            "--expert-bytes",
            "Bytes of the weights of one expert of one layer; by default those that --config says.",
        ),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            "--bandwidth", metavar="GB/S", help="What a GPU sends or receives, in 10^9 bytes/s."
        ),
    ] = None,
    transfers: Annotated[
        str | None,
        typer.Option(
            "--transfers", metavar="FILE", help="Write the weight copies: .json, .npy or .csv."
        ),
    ] = None,
    out: Out = None,
    format: OutFormat = "plan",  # noqa: A002
    layers: Layers = None,
    num_hidden_layers: HiddenLayers = None,
    config: Config = None,
    extra_layers: ExtraLayers = None,
    renumber: Renumber = False,
    threads: Threads = 1,
    windows: Windows = None,
    key: Key = None,
    written_by: WrittenBy = None,
    axes: Axes = None,
    num_layers: NumLayers = None,
    num_experts: NumExperts = None,
    placement: CountedUnder = None,
    weights: Weights = None,
    trust_loads: Trust = False,
    layers_table: LayersTable = False,
    as_json: AsJson = False,
) -> None:
    """Update the placement in force, with few moves.

    The update is for the windows to come.
    """
    reading = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, placement, weights, trust_loads
    )
    inputs = reading.inputs(loads)
    outputs = {"--out": out, "--transfers": transfers, "--history": history}
    check_outputs([*inputs, ("the speeds", speed)], outputs)
    check_outputs([("the placement in force", previous)], {**outputs, "--out": None})
    if transfers is not None:
        check_ending(transfers)
    goal = target(
        out,
        format,
        layers=layers,
        num_hidden_layers=num_hidden_layers,
        config=config,
        extra_layers=extra_layers,
    )
    if bandwidth is not None and not 0 < bandwidth < float("inf"):
        raise eplb.EplbError(f"--bandwidth {bandwidth} is out of range; expected more than 0")
    of_expert = bytes_of_expert(config, expert_bytes, needed=bandwidth is not None)
    read = reading.read_any(loads, windows)
    chosen = goal.layers is not None
    goal = goal.for_loads(len(read.windows[0]), read.layers)
    placed = _in_force(previous, previous_format, (previous_gpus, gpus), goal, read.experts)
    rows, left_out = rows_of(read.windows, placed, goal, chosen=chosen)
    goal = goal.for_placement(len(rows[0]))
    remembered = history_with(history, rows, threads)
    sizes = SizeOptions(gpus, replicas, redundant, groups, nodes, threads)
    experts, changes = read.experts, ClusterOptions(slots, speed, dead, drain).changes()
    if slots is not None:
        check_slots_alone(sizes)
    with sizes.spelled_in_errors(read), busy("planning"):
        start = time.perf_counter()
        update = eplb.replan(
            remembered,
            placed.plan,
            move_price=move_price,
            max_moves=max_moves,
            max_moves_after_shift=max_moves_after_shift,
            max_copies=max_copies,
            live_gpus=live or (),
            **changes,
            **sizes.arguments(experts),
        )
        seconds = time.perf_counter() - start
    copies = update.transfers(of_expert)
    names, engine = placed.names, engine_named(format, placed.format, written_by)
    notes = [
        *read.notes,
        *placed.notes,
        *left_out,
        *_size_notes(placed, update.plan, sizes, previous_gpus, slots),
        *_group_notes(update.plan, sizes, goal.num_groups),
        *_state_notes(placed.plan, live or (), drain or (), dead or ()),
    ]
    notes += _copies_notes(update, max_copies)
    if transfers is not None:
        notes += _save(copies, transfers, names)
    notes += write_plan(update.plan, goal, renumber=renumber)
    if out is None:
        notes.append("not written; --out FILE writes the new plan")
    if history is not None:
        remembered.save(history)
    if as_json:
        files = {"out": out, "transfers_file": transfers, "history_file": history}
        say(
            json.dumps(
                {**_values(update, copies, bandwidth, names, engine), **files, "notes": notes}
            )
        )
        return
    lines = [
        update.summary(names),
        *copies.lines(),
        *_time_lines(copies, bandwidth),
        *lines_of("planned in", [f"{seconds * 1000:.2f} ms"]),
        *lines_of("note", notes),
        *lines_of("written to", [file for file in (out, transfers, history) if file is not None]),
    ]
    text = fitted("\n".join(lines))
    if layers_table:
        text += f"\n\n{table_of_layers(update.plan, names, engine)}"
    say(text)


def _in_force(
    path: str,
    format: str | None,  # noqa: A002
    gpus: tuple[int | None, int | None],
    goal: Target,
    experts: int,
) -> ReadPlacement:
    """The placement in force; ``gpus`` are those of ``--previous-gpus`` and ``--gpus``.

    Raises:
        EplbError, OSError: the file cannot be read, or has its own sizes beside ``--previous-gpus``.
    """
    try:
        placed = read_placement(path, format, gpus[0] or gpus[1], goal, experts)
    except eplb.EplbError as error:
        raise error.renamed(_of_previous) from error
    if placed.format in OWN_SIZES and gpus[0] is not None:
        raise own_sizes(placed, "--previous-gpus", or_format("--previous-format", format))
    return placed


def _size_notes(
    placed: ReadPlacement,
    plan: eplb.Plan,
    sizes: SizeOptions,
    previous_gpus: int | None,
    slots: list[int] | None,
) -> list[str]:
    """How sizes were taken that neither the placement in force nor an option says."""
    notes, before, now = [], placed.plan.num_replicas, plan.num_replicas
    says = placed.format in (*OWN_SIZES, "vllm-ascend") or previous_gpus is not None
    if not says and sizes.gpus is not None:
        gpus = count(placed.plan.num_gpus, "GPU")
        notes.append(f"{placed.path} is taken as on {gpus}; --previous-gpus says otherwise")
    given = (sizes.replicas, sizes.redundant, slots)
    if before != now and all(value is None for value in given):
        notes.append(f"{count(before, 'slot')} before, now {now}; --redundant sets it")
    return notes


def _group_notes(plan: eplb.Plan, sizes: SizeOptions, of_model: int | None) -> list[str]:
    """What groups and nodes do not do. Those of unequal GPUs are not told: the user gave neither."""
    given = sizes.groups is not None or sizes.nodes is not None
    return group_notes(sizes_of(plan), of_model) if given or plan.cluster.is_uniform else []


def _state_notes(
    before: eplb.Plan, live: Sequence[int], drain: Sequence[int], dead: Sequence[int]
) -> list[str]:
    """GPUs that are said to become what they were."""
    states = dict(enumerate(before.cluster.states))  # added GPUs are in none
    was = [(gpu, "--live", "live") for gpu in live if states.get(gpu) == "live"]
    was += [(gpu, "--drain", "dead") for gpu in drain if states.get(gpu) == "dead"]
    was += [(gpu, "--dead", "dead") for gpu in dead if states.get(gpu) == "dead"]
    return [f"{option} {gpu}: it was {state} already" for gpu, option, state in was]


def _copies_notes(update: eplb.Migration, max_copies: int | None) -> list[str]:
    """That more copies are made than the user allows."""
    total = int(update.copies.sum())
    if max_copies is None or total <= max_copies:
        return []
    why = "experts without a slot and empty slots get one whatever the limits are"
    return [f"more than --max-copies {max_copies}: {why} ({total} copies in all)"]


def _of_previous(parameter: Parameter) -> Parameter:
    """Parameters of the placement in force, which has options of its own."""
    own = {"format": "previous_format"}
    return Parameter(own.get(parameter.name, parameter.name), parameter.value)


def _save(copies: Transfers, path: str, names: Sequence[int] | None) -> list[str]:
    """Writes the weight copies, and says which layers they name."""
    (copies if names is None else copies.of_hidden_layers(names)).save(path)
    return [] if names is None else [f"the layers in {path} are hidden layers"]


def _seconds(copies: Transfers, bandwidth: float | None) -> float | None:
    """The time of the busiest GPU, which the others wait for."""
    busiest = copies.busiest_gpu_bytes()
    return None if busiest is None or bandwidth is None else busiest / (bandwidth * _GB)


def _time_lines(copies: Transfers, bandwidth: float | None) -> list[str]:
    if bandwidth is None:
        return []
    seconds = _seconds(copies, bandwidth)
    if seconds is None:
        return lines_of("time", ["not known: give --expert-bytes or --config"])
    return lines_of("time", [f"{seconds:.3f} s for the busiest GPU at {bandwidth:g} GB/s"])


def _values(
    update: eplb.Migration,
    copies: Transfers,
    bandwidth: float | None,
    names: Sequence[int] | None,
    engine: str | None,
) -> dict[str, Any]:
    """An update as plain values, for JSON."""
    before, made_from = update.before, update.plan.made_from
    return {
        **plan_values(update.plan, names, engine),
        "previous": None if before is None else plan_values(before, names, engine),
        "history": None if made_from is None else asdict(made_from),
        "copies": update.copies.tolist(),
        "gain": update.gain.tolist(),
        "shifted": update.shifted.tolist(),
        "kept": update.kept.tolist(),
        "transfers": len(copies),
        "steps": copies.steps,
        "buffered": int(copies.table["buffered"].sum()),
        "bytes": copies.num_bytes,
        "busiest_gpu_bytes": copies.busiest_gpu_bytes(),
        "seconds": _seconds(copies, bandwidth),
    }
