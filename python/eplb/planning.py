"""Planning, evaluating and verifying: loads and sizes in, plans out."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from eplb import _core
from eplb.errors import EplbError, Parameter
from eplb.inputs.loads import canonical_loads
from eplb.inputs.names import unknown
from eplb.inputs.sizes import topology, whole_number
from eplb.plans import Plan
from eplb.text import count, short

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
    """Plans which experts get extra replicas, and which GPU holds what.

    The same values give the same plan on every machine and for every dtype.

    Args:
        load: ``[layers, experts]`` loads, for example the tokens routed to each expert: anything
            that numpy can read, or a tensor. Loads are finite and not negative. There are at most
            2**14 experts. A load below about 2**-41 of its layer's total counts as 0.
        num_gpus: GPUs of all nodes, G.
        num_replicas: slots per layer, P, redundant ones included: a multiple of ``num_gpus``, at
            least the number of experts. By default the fewest slots that fill all GPUs.
        num_groups: groups of experts; each group stays on one node. If it is not divisible by
            ``num_nodes``, groups and nodes are ignored (``Plan.is_global``).
        num_nodes: nodes.
        policy: ``"minimax"`` (a search for the lowest largest GPU load, with no two replicas of an
            expert on one GPU), ``"deepseek"`` (DeepSeek's published algorithm) or ``"adaptive"``
            (the same with another rule for the last replicas, and swaps).
        effort: how long ``"minimax"`` searches: ``"fast"``, ``"default"`` or ``"best"`` (for
            planning offline). ``"fast"`` may end above ``"deepseek"`` if that puts two replicas of
            an expert on one GPU, and with groups by at most the target gap. Work is counted in
            operations, so no answer depends on time.
        target_gap: ``"minimax"`` stops searching a layer when its gap falls below this. By default
            0 for ``"best"``, otherwise 0.0005; with more than 64 slots 0.001 at 6 or 7 slots per
            GPU, 0.0025 at 5, 0.005 at fewer; for ``"fast"`` with one group at least 0.0025.
        threads: threads to plan with. No answer depends on it.

    Raises:
        LoadError, LoadTypeError: invalid loads.
        TopologyError, TypeError: invalid sizes.
        EplbError: invalid options.

    Time is O(layers * P * (log P + c)) for c different numbers of replicas, and what the effort
    adds. The GIL is released.
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
    _check_name("policy", policy, POLICIES)
    _check_name("effort", effort, EFFORTS)
    _check_options(policy, effort, target_gap)
    placement, certificate = _core.plan(loads, sizes, policy, effort, target_gap, threads)
    return Plan(placement, policy=policy, loads=loads, certificate=certificate)


def _check_name(option: str, name: Any, known: tuple[str, ...]) -> None:
    if not isinstance(name, str) or name not in known:
        raise unknown(option, name, known)


def _check_options(policy: str, effort: str, target_gap: Any) -> None:
    """Options of `minimax`, which the other policies would ignore."""
    if target_gap is not None and (
        isinstance(target_gap, bool) or not isinstance(target_gap, (int, float, np.number))
    ):
        raise TypeError(f"target_gap must be a number, got {type(target_gap).__name__}")
    if isinstance(target_gap, int) and abs(target_gap) > sys.float_info.max:
        raise EplbError(
            Parameter("target_gap", short(target_gap)),
            " is not a gap; expected a finite number, for example 0.0005 for 0.05 %",
        )
    for name, value, default in (("effort", effort, "default"), ("target_gap", target_gap, None)):
        if policy != "minimax" and value != default:
            raise EplbError(
                Parameter(name, short(value)),
                f" is an option of the policy minimax, not of {policy}",
            )


def evaluate(plan: Plan, load: Any) -> Plan:
    """The same placement under another load: GPU loads, balancedness, lower bound and gap.

    Args:
        plan: a placement.
        load: ``[layers, experts]``, as for :func:`plan`.

    Returns:
        A plan with the same tables, certified for ``load``.

    Raises:
        LoadError, LoadTypeError: the loads are invalid, or have another shape than the plan's.
    """
    _check_plan(plan)
    loads = canonical_loads(load)
    certificate = _core.certify(plan.placement, loads)
    return Plan(plan.placement, policy=plan.policy, loads=loads, certificate=certificate)


def verify(plan: Plan, load: Any) -> str:
    """Checks a plan again, from the definitions, by code that shares nothing with the planners.

    It checks coverage, counts, ranks and groups on their nodes. If the plan has a certificate, it
    also checks that this is for ``load``, and every GPU load, maximum and lower bound in it.

    Returns:
        A line that says what was checked. Without a certificate that is only the structure.

    Raises:
        VerificationError: something is false, with ``.layer``, ``.slot`` and ``.expert``.
        LoadError, LoadTypeError: the loads are invalid, or have another shape than the plan's.
    """
    _check_plan(plan)
    loads = canonical_loads(load)
    layers = count(plan.num_layers, "layer")
    if not plan.certified:
        _core.verify_structure(plan.placement)
        _core.certify(plan.placement, loads)  # raises if the loads are of another model
        return (
            f"structure verified, {layers}; "
            "the plan has no certificate, so no load or bound was checked"
        )
    _core.verify(plan.placement, plan.certificate, loads)
    return f"verified: structure, GPU loads and lower bounds of {layers}"


def _check_plan(plan: Any) -> None:
    if not isinstance(plan, Plan):
        raise TypeError(
            f"expected a Plan, got {type(plan).__name__}; see eplb.load_plan, "
            "eplb.Plan.from_dict and eplb.Plan.from_phy2log"
        )


def policies_for(sizes: _core.Topology) -> tuple[str, ...]:
    """The policies that have a plan for these sizes.

    `minimax` has none if a GPU has more slots than there are experts for it.
    """
    return tuple(_core.policies_for(sizes))
