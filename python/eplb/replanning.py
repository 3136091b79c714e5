"""Updating the placement in force: a history and a placement in, few moves out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import _core
from eplb.cluster_changes import Changes, new_topology
from eplb.clusters import Cluster, check_alone, gpu_numbers
from eplb.errors import EplbError, Parameter, TopologyError, VerificationError
from eplb.history import history_of
from eplb.inputs.sizes import real_number, thread_count, whole_number
from eplb.migration import Migration
from eplb.plan_tables import read_only
from eplb.planning import DEFAULT_POLICY_OVER_TIME
from eplb.plans import Plan, integer_table
from eplb.storage.made_from import MadeFrom
from eplb.text import count, short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eplb.plan_tables import IntTable

_MILLION = 1_000_000
#: A share of the slots or of the norm is at most this.
_MOST = 1000


def replan(
    load: Any,
    previous: Any,
    *,
    num_gpus: int | None = None,
    num_replicas: int | None = None,
    num_groups: int | None = None,
    num_nodes: int | None = None,
    cluster: Cluster | None = None,
    previous_gpus: int | None = None,
    previous_cluster: Cluster | None = None,
    dead_gpus: Iterable[int] = (),
    drain_gpus: Iterable[int] = (),
    live_gpus: Iterable[int] = (),
    added_gpus: int | Iterable[int] = 0,
    gpu_slots: Iterable[int] | None = None,
    gpu_speed: Iterable[int] | None = None,
    move_price: float = 0.01,
    max_moves: float = 0.2,
    max_moves_after_shift: float | None = None,
    max_copies: int | None = None,
    threads: int = 1,
) -> Migration:
    """Updates the placement in force for the windows to come, with few moves.

    Each move is worth its price on the history. The new plan has no two replicas of an expert on
    one GPU, unless the previous one had and nothing better came. Equal inputs give the same update
    on every machine.

    If GPUs die, are drained or lose slots, experts without a live replica get one first, heaviest
    first: one copy each. Then empty slots are filled, and the rest of the placement is improved as far
    as limits and price allow. Groups stay on their nodes. If one is on several nodes, or a node has more
    of them than others, as after a node came back, groups are shared out anew.

    Args:
        load: a :class:`LoadHistory`; or loads, one window or several, as a new history.
        previous: the placement in force: a plan, or phy2log ``[layers, slots]``, in which -1 is an
            empty slot. It may have other sizes than the new plan, duplicates, and experts without a
            slot; these get one, whatever the limits are. If all slots are empty, the update is a
            new plan.
        num_gpus: GPUs of all nodes. By default as before; needed if ``previous`` is a table.
            GPUs are added and removed at the end.
        num_replicas: slots per layer. By default each GPU keeps its number of slots, or gets the
            fewest that hold all experts.
        num_groups: groups of experts; each stays on its node. By default the plan's, or 1.
        num_nodes: nodes. By default the plan's, or 1.
        cluster: the GPUs of the new plan, in the place of ``num_gpus``, ``num_replicas``,
            ``num_nodes`` and the changes below. GPU 0 is GPU 0 of ``previous``, and so on.
        previous_gpus: GPUs of ``previous``, if it is a table for another number of GPUs.
        previous_cluster: GPUs of ``previous``, if it is a table for GPUs that are not equal, or not all
            in use; by default ``cluster``.
        dead_gpus: numbers of GPUs that are lost, with all that they held. Their slots stay in
            phy2log as -1, now and in later updates of the new plan; but GPUs that ``num_gpus`` removes
            leave it.
        drain_gpus: numbers of GPUs that are to hold nothing; what they hold can be copied from them.
        live_gpus: numbers of GPUs that are back, empty: whatever ``previous`` has on them is lost.
        added_gpus: how many GPUs come at the end, or the slots of each; see :meth:`Cluster.changed`.
        gpu_slots: the number of slots of each GPU, in the place of ``num_replicas``.
        gpu_speed: the speed of each GPU, as for :class:`Cluster`.
        move_price: what moving every slot once must gain: a share of the norm of the GPU loads.
            0 makes every move that gains anything.
        max_moves: the most weight copies of a layer: a float is a share of its slots, an int a
            number. A swap takes 2, another expert in a slot 1. 0 keeps everything.
        max_moves_after_shift: the same for a layer whose traffic has shifted, in which experts had no
            slot, GPUs have lost replicas, or slots were empty. By default three times ``max_moves``.
        max_copies: the most copies of all layers, spent where they gain most; by default no limit.
        threads: threads to plan with. No answer depends on it.

    Raises:
        LoadError, LoadTypeError: invalid loads, or a history without a window.
        TopologyError, TypeError: invalid sizes, or more slots on a GPU than experts.
        VerificationError: ``previous`` is not a table of experts of so many layers.
        EplbError: invalid options.

    Time of a layer is O(slots * rows) for each move. The GIL is released.
    """
    if isinstance(load, Plan):
        raise EplbError("the loads are a plan; are the arguments swapped?")
    threads = thread_count(threads)
    given = history_of(load, threads)
    given.digest()  # once: the copy has it too
    history = given.copy()  # windows that come meanwhile leave it alone
    core = history.core()
    if previous_gpus is None and previous_cluster is None and not isinstance(previous, Plan):
        previous_cluster = cluster
    table, before = _table_of(previous, num_gpus, previous_gpus, previous_cluster)
    _check_coverage(table, core.experts)
    if isinstance(previous, Plan):
        if previous.num_experts != core.experts:
            raise VerificationError(
                f"the previous plan has {count(previous.num_experts, 'expert')}, but the loads have "
                f"{core.experts}",
                hint=["is it a plan of another model?"]
                if previous.num_layers != core.layers
                else [],
            )
        num_groups = previous.num_groups if num_groups is None else num_groups
        if cluster is None and previous.is_global and previous.cluster.is_uniform:
            num_nodes = previous.num_nodes if num_nodes is None else num_nodes
    dead, live = gpu_numbers("dead_gpus", dead_gpus), gpu_numbers("live_gpus", live_gpus)
    # A GPU that is removed and dead is lost too: it is no source.
    left = before.num_gpus if num_gpus is None else whole_number("num_gpus", num_gpus)
    removed = [gpu for gpu in dead if left <= gpu < before.num_gpus]
    table = _without(table, before, [*before.dead_gpus, *removed, *live])
    changes = Changes(
        dead_gpus=[gpu for gpu in dead if gpu not in removed],
        drain_gpus=drain_gpus,
        live_gpus=live,
        added_gpus=added_gpus,
        gpu_slots=gpu_slots,
        gpu_speed=gpu_speed,
    )
    sizes = new_topology(
        before,
        changes,
        cluster=cluster,
        num_experts=core.experts,
        num_gpus=num_gpus,
        num_replicas=num_replicas,
        num_groups=1 if num_groups is None else num_groups,
        num_nodes=num_nodes,
    )
    options = {
        "move_price": _share("move_price", move_price),
        "max_moves": _limit("max_moves", max_moves),
        "max_moves_after_shift": _limit("max_moves_after_shift", max_moves_after_shift)
        if max_moves_after_shift is not None
        else _three_times(_limit("max_moves", max_moves)),
        "max_copies": None if max_copies is None else _number("max_copies", max_copies),
    }
    update = _core.replan(
        core,
        sizes,
        (table, before.core) if (table >= 0).any() else None,  # nothing is placed: a new plan
        threads=threads,
        fill=True,
        **options,  # type: ignore[arg-type]
    )
    newest = core.newest()
    plan = Plan(
        update.placement,
        policy=DEFAULT_POLICY_OVER_TIME,
        loads=newest,
        options={
            "move_price": float(move_price),
            **{
                name: _plain(value)
                for name, value in (
                    ("max_moves", max_moves),
                    ("max_moves_after_shift", max_moves_after_shift),
                    ("max_copies", max_copies),
                )
            },
        },
        made_from=MadeFrom(history.windows, history.digest()),
    )
    return Migration(plan, update, table, before, newest)


def _table_of(
    previous: Any,
    num_gpus: int | None,
    previous_gpus: int | None,
    previous_cluster: Cluster | None,
) -> tuple[IntTable, Cluster]:
    """The placement in force, and the GPUs that it is on."""
    if isinstance(previous, Plan):
        given = {"previous_gpus": previous_gpus, "previous_cluster": previous_cluster}
        for name, value in given.items():
            if value is not None:
                raise EplbError(
                    Parameter(name),
                    " is for a table; a plan knows its GPUs",
                    hint=["leave out ", Parameter(name)],
                )
        return previous.phy2log, previous.cluster
    if isinstance(previous, Migration):
        raise EplbError(
            Parameter("previous"), " is an update", hint=["give the plan in it: update.plan"]
        )
    if isinstance(previous, dict):
        raise EplbError(
            Parameter("previous"), " is a dict", hint=["give eplb.Plan.from_dict(previous)"]
        )
    if previous is None or isinstance(previous, (str, Path)):
        raise EplbError(
            Parameter("previous"),
            f" is {short(previous)}; expected a plan, or a table [layers, slots]",
            hint=["read a plan file with eplb.load_plan, an engine's with Plan.from_engine_file"],
        )
    table = read_only(integer_table("previous", previous).copy())  # the caller may go on writing
    if previous_cluster is not None:
        check_alone(previous_cluster, previous_gpus=previous_gpus)
        if table.shape[1] != previous_cluster.num_slots:
            raise TopologyError(
                f"the previous placement has {count(table.shape[1], 'slot')} per layer, but its cluster "
                f"has {previous_cluster.num_slots}",
                hint=["give the GPUs that it is on as ", Parameter("previous_cluster")],
            )
        return table, previous_cluster
    if previous_gpus is None:
        if num_gpus is None:
            raise TopologyError(
                "a table does not say on how many GPUs it is", hint=["give ", Parameter("num_gpus")]
            )
        gpus = whole_number("num_gpus", num_gpus)
    else:
        gpus = whole_number("previous_gpus", previous_gpus)
    if table.shape[1] % gpus:
        name = "num_gpus" if previous_gpus is None else "previous_gpus"
        raise TopologyError(
            f"the previous placement has {count(table.shape[1], 'slot')} per layer, which is "
            "not divisible by ",
            Parameter(name, str(gpus)),
            hint=["give ", Parameter("previous_gpus"), " if it was for another number of GPUs"],
        )
    return table, Cluster.uniform(gpus, table.shape[1] // gpus)


def _without(table: IntTable, cluster: Cluster, lost: list[int]) -> IntTable:
    """The placement without what these GPUs held."""
    if not lost:
        return table
    gone = np.isin(cluster.gpu_of_slot, lost)
    left = table.copy()
    left[:, gone] = -1
    return read_only(left)


def _check_coverage(table: IntTable, experts: int) -> None:
    """Refuses a full table in which most experts lack a slot in every layer: it is another table.

    Raises:
        VerificationError
    """
    if table.shape[1] < experts or table.min() < 0 or table.max() >= experts:
        return
    ordered = np.sort(table, axis=1)
    most = 1 + int((ordered[:, 1:] != ordered[:, :-1]).sum(axis=1).max())
    if 2 * most < experts:
        raise VerificationError(
            Parameter("previous"),
            f" has a slot for at most {most} of {count(experts, 'expert')} in each layer, in "
            f"{count(table.shape[1], 'slot')}; expected the expert of each slot",
            hint=["give plan.phy2log; -1 is an empty slot"],
        )


def _number(name: str, value: Any) -> int:
    """A number of copies."""
    return whole_number(name, value, EplbError, least=0)


def _share(name: str, value: Any) -> int:
    """A share in millionths."""
    share = real_number(name, value)
    if not 0 <= share <= _MOST:
        raise EplbError(
            Parameter(name, short(value)), f" is out of range; expected a share from 0 to {_MOST}"
        )
    return round(share * _MILLION)


def _limit(name: str, value: Any) -> int | tuple[int]:
    """A limit of copies: a float is a share of the slots, as the core takes it."""
    if isinstance(value, (float, np.floating)):
        return (_share(name, value),)
    return _number(name, value)


def _three_times(limit: int | tuple[int]) -> int | tuple[int]:
    return (3 * limit[0],) if isinstance(limit, tuple) else 3 * limit


def _plain(value: Any) -> int | float | None:
    """A number for JSON."""
    if value is None:
        return None
    return float(value) if isinstance(value, (float, np.floating)) else int(value)
