"""Planning, evaluating and verifying: loads and sizes in, plans out."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from eplb.errors import EplbError
from eplb.loads import canonical_loads
from eplb.plans import Plan
from eplb.shown import count, short
from eplb.sizes import topology, whole_number

from . import _core

#: Names of the policies.
POLICIES: tuple[str, ...] = tuple(_core.policies())

#: Names of the efforts of `minimax`.
EFFORTS: tuple[str, ...] = tuple(_core.efforts())

#: The policy of `plan`.
DEFAULT_POLICY = "minimax"

#: More threads than this are not started.
MAX_THREADS = 1024


def plan(
    load: Any,
    *,
    num_gpus: int,
    num_replicas: int | None = None,
    num_groups: int = 1,
    num_nodes: int = 1,
    policy: str = DEFAULT_POLICY,
    effort: str = "default",
    target_gap: float | None = None,
    threads: int = 1,
) -> Plan:
    """Plans which experts get extra copies and which GPU holds what.

    The same values give the same plan on every machine and thread, whatever their dtype.

    Args:
        load: ``[layers, experts]`` loads, e.g. tokens routed to each expert; anything numpy can
            read, or a tensor. Finite and not negative; at most 2**14 experts. Loads below about
            2**-41 of their layer's total count as 0.
        num_gpus: GPUs of all nodes, G.
        num_replicas: slots of a layer, P, spares included; a multiple of ``num_gpus``, at least
            the number of experts. By default no more than fill the last GPU.
        num_groups: groups of experts that stay on one node each. Where it is no multiple of
            ``num_nodes`` the plan is global, and says so (``Plan.fallback``).
        num_nodes: nodes.
        policy: ``"deepseek"`` (DeepSeek's published algorithm), ``"adaptive"`` (the same with
            another rule for the last copies, and swaps) or ``"minimax"`` (a search for the least
            largest GPU load, with no two copies of an expert on one GPU).
        effort: how long ``"minimax"`` searches: ``"fast"``, ``"default"`` or ``"best"``, which is
            for planning offline. ``"fast"`` may end above ``"deepseek"`` where that puts two copies
            of an expert on one GPU, and by the target gap where there are groups. Work is counted
            in operations, so no answer depends on time.
        target_gap: the gap to the lower bound at which ``"minimax"`` takes a layer for done; by
            default 0 for ``"best"``, else 0.0005, but with more than 64 slots 0.001 where a GPU has
            6 or 7 of them, 0.0025 where it has 5, 0.005 where it has fewer, and for ``"fast"``,
            with one group, 0.0025 at least.
        threads: threads to plan with. No answer depends on it.

    Raises:
        LoadError, LoadTypeError: the loads; TopologyError, TypeError: the sizes;
        EplbError: the options. Each message says what would do.

    Time is O(layers * P * (log P + c)) for c different numbers of copies, a handful on real loads.
    The GIL is released.
    """
    threads = min(whole_number("threads", threads, EplbError), MAX_THREADS)
    loads = canonical_loads(load, threads)
    sizes = topology(
        num_experts=loads.experts,
        num_replicas=num_replicas,
        num_groups=num_groups,
        num_nodes=num_nodes,
        num_gpus=num_gpus,
    )
    if not isinstance(policy, str) or policy not in POLICIES:
        raise EplbError(
            f"there is no policy {short(policy)}; the policies are {', '.join(POLICIES)}"
        )
    _check_options(policy, effort, target_gap)
    placement, certificate = _core.plan(loads, sizes, policy, effort, target_gap, threads)
    return Plan(placement, policy=policy, loads=loads, certificate=certificate)


def _check_options(policy: str, effort: Any, target_gap: Any) -> None:
    """Options of `minimax`, which the other policies would ignore."""
    if not isinstance(effort, str) or effort not in EFFORTS:
        raise EplbError(f"there is no effort {short(effort)}; the efforts are {', '.join(EFFORTS)}")
    if target_gap is not None and (
        isinstance(target_gap, bool) or not isinstance(target_gap, (int, float, np.number))
    ):
        raise TypeError(f"target_gap must be a number, got {type(target_gap).__name__}")
    if isinstance(target_gap, int) and abs(target_gap) > sys.float_info.max:
        raise EplbError(
            f"target_gap is {short(target_gap)}; it must be finite, e.g. 0.0005 for 0.05 %"
        )
    for name, value, default in (("effort", effort, "default"), ("target_gap", target_gap, None)):
        if policy != "minimax" and value != default:
            raise EplbError(
                f"{name}={short(value)} is for policy 'minimax'; policy {policy!r} has no such option"
            )


def evaluate(plan: Plan, load: Any) -> Plan:
    """The same placement under another load: its GPU loads, balancedness, lower bound and gap.

    Returns a plan with the same tables, certified for ``load``, ``[layers, experts]``.

    Raises:
        LoadError, LoadTypeError: the loads are none, or of another shape than the plan's.
    """
    _check_plan(plan)
    loads = canonical_loads(load)
    certificate = _core.certify(plan._placement, loads)  # noqa: SLF001
    return Plan(
        plan._placement,  # noqa: SLF001
        policy=plan.policy,
        loads=loads,
        certificate=certificate,
    )


def verify(plan: Plan, load: Any) -> str:
    """Checks a plan again, from the definitions, by code that shares nothing with the planners.

    Coverage, counts, ranks, groups on their nodes; and, where the plan carries a certificate,
    that it is for ``load``, and every GPU load, maximum and lower bound in it.

    Returns a line that says what was checked: for a plan without a certificate that is the
    structure only.

    Raises:
        VerificationError: something is false, with ``.layer``, ``.slot`` and ``.expert``.
        LoadError, LoadTypeError: the loads are none, or of another shape than the plan's.
    """
    _check_plan(plan)
    loads = canonical_loads(load)
    placement = plan._placement  # noqa: SLF001
    if not plan.certified:
        _core.verify_structure(placement)
        _core.certify(placement, loads)  # raises where the loads are of another model
        return (
            f"structure verified, {count(plan.num_layers, 'layer')}; "
            "the plan carries no certificate, so no load or bound was checked"
        )
    _core.verify(placement, plan.certificate, loads)
    return f"verified: structure, GPU loads and lower bounds of {count(plan.num_layers, 'layer')}"


def _check_plan(plan: Any) -> None:
    if not isinstance(plan, Plan):
        raise TypeError(
            f"a Plan is needed, got {type(plan).__name__}; see eplb.load_plan, "
            "eplb.Plan.from_dict and eplb.Plan.from_phy2log"
        )


def policies_for(sizes: _core.Topology) -> tuple[str, ...]:
    """The policies that have a plan for these sizes.

    `minimax` has none where a GPU has more slots than there are experts for it.
    """
    nodes = 1 if sizes.fallback else sizes.num_nodes
    distinct = sizes.num_replicas * nodes <= sizes.num_gpus * sizes.num_experts
    return tuple(policy for policy in POLICIES if distinct or policy != "minimax")


def trivial_plan(plan: Plan) -> Plan:
    """The placement of engines that do not balance: slot p holds expert p modulo L.

    It is of the plan's sizes, without groups, and for the plan's loads where those are known.
    """
    row = np.arange(plan.num_replicas, dtype=np.int64) % plan.num_experts
    table = np.tile(row, (plan.num_layers, 1))
    trivial = Plan.from_phy2log(table, num_gpus=plan.num_gpus)
    return Plan(trivial._placement, loads=plan._loads)  # noqa: SLF001
