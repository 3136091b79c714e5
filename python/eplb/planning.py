"""Planning, evaluating and verifying: loads and sizes in, plans out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

from eplb import _core
from eplb.clusters import topology_of
from eplb.errors import EplbError, Parameter
from eplb.history import LoadHistory, history_of
from eplb.inputs.guards import check_loads
from eplb.inputs.loads import canonical_loads
from eplb.inputs.names import unknown
from eplb.inputs.sizes import real_number, thread_count
from eplb.inputs.windows import canonical_windows, has_windows, summed, windows_of
from eplb.plans import Plan, certified_for
from eplb.storage.made_from import MadeFrom
from eplb.text import count, short
from eplb.window_figures import WindowFigures

if TYPE_CHECKING:
    from eplb.clusters import Cluster

#: Names of the policies.
POLICIES: tuple[str, ...] = tuple(_core.policies())

#: Those that plan from a history of several windows.
HISTORY_POLICIES: tuple[str, ...] = tuple(_core.policies_of_histories())

#: Those of which effort and target gap are options.
EFFORT_POLICIES: tuple[str, ...] = tuple(_core.policies_with_effort())

#: Names of their efforts.
EFFORTS: tuple[str, ...] = tuple(_core.efforts())

#: The policy of `plan` for loads of one window.
DEFAULT_POLICY = "minimax"

#: The policy of `plan` for a history, or loads of several windows.
DEFAULT_POLICY_OVER_TIME = "multiwindow"


def plan(
    load: Any,
    *,
    num_gpus: int | None = None,
    num_replicas: int | None = None,
    num_groups: int = 1,
    num_nodes: int | None = None,
    cluster: Cluster | None = None,
    policy: str | None = None,
    effort: str = "default",
    target_gap: float | None = None,
    threads: int = 1,
) -> Plan:
    """Plans which experts get extra replicas, and which GPU holds what.

    The same values give the same plan on every machine and for every dtype.

    Args:
        load: ``[layers, experts]`` loads, for example the tokens routed to each expert: anything
            that numpy can read, or a tensor. Loads are finite and not negative. There are at most
            2**14 experts. A load below about 2**-41 of its layer's total counts as 0. Several
            windows ``[windows, layers, experts]``, oldest first, or a :class:`LoadHistory`.
        num_gpus: GPUs of all nodes, G. Needed unless ``cluster`` is given.
        num_replicas: slots per layer, P, redundant ones included: a multiple of ``num_gpus``, at
            least the number of experts. By default the fewest slots that fill all GPUs.
        num_groups: groups of experts; each group stays on one node. If it is not divisible by
            ``num_nodes``, groups and nodes are ignored (``Plan.is_global``).
        num_nodes: nodes, by default 1.
        cluster: the GPUs, if they are not equal, or not all in use; in the place of ``num_gpus``,
            ``num_replicas`` and ``num_nodes``. ``"minimax"`` and ``"multiwindow"`` plan every
            cluster, the others equal GPUs only.
        policy: ``"minimax"`` (a search for the lowest largest GPU load, with no two replicas of an
            expert on one GPU; the default for one window), ``"multiwindow"`` (for the windows to
            come, as far as the history tells, also without duplicates; the default for windows and
            histories), ``"deepseek"`` (DeepSeek's published algorithm) or ``"adaptive"`` (the same
            with another rule for the last replicas, and swaps). All but ``"multiwindow"`` plan the
            sum of several windows.
        effort: how long ``"minimax"`` searches: ``"fast"``, ``"default"`` or ``"best"`` (for
            planning offline). ``"fast"`` may end above ``"deepseek"`` if that puts two replicas of
            an expert on one GPU, and with groups by at most the target gap. Work is counted in
            operations, so no answer depends on time.
        target_gap: ``"minimax"`` stops searching a layer when its gap falls below this. By default
            0 for ``"best"``, otherwise 0.0005; with more than 64 slots 0.001 at 6 or 7 slots per
            GPU, 0.0025 at 5, 0.005 at fewer; for ``"fast"`` with one group at least 0.0025.
        threads: threads to plan with. No answer depends on it.

    Returns:
        A plan, certified for the loads; for their sum, or for the newest window if the plan is from
        a history.

    Raises:
        LoadError, LoadTypeError: invalid loads.
        TopologyError, TypeError: invalid sizes.
        EplbError: invalid options.

    Time is O(layers * P * (log P + c)) for c different numbers of replicas, and what the effort
    adds. The GIL is released.
    """
    threads = thread_count(threads)
    over_time = isinstance(load, LoadHistory) or has_windows(load)
    if policy is None:
        policy = DEFAULT_POLICY_OVER_TIME if over_time else DEFAULT_POLICY
    _check_name("policy", policy, POLICIES)
    _check_name("effort", effort, EFFORTS)
    options = _checked_options(policy, effort, target_gap)
    windows, newest, made_from = _what_to_plan(load, policy, threads)
    sizes = topology_of(
        num_experts=newest.experts,
        num_replicas=num_replicas,
        num_groups=num_groups,
        num_nodes=num_nodes,
        num_gpus=num_gpus,
        cluster=cluster,
    )
    gap = options.get("target_gap")
    placement, certificate = _core.plan(windows, sizes, policy, effort, gap, threads)
    return Plan(
        placement,
        policy=policy,
        loads=newest,
        certificate=certificate,
        options=options,
        made_from=made_from,
    )


def _what_to_plan(
    load: Any, policy: str, threads: int
) -> tuple[_core.Loads | _core.LoadHistory, _core.Loads, MadeFrom]:
    """What the core plans; the loads that the plan is certified for; what to say of it."""
    if policy in HISTORY_POLICIES:
        history = history_of(load, threads).copy()  # windows that come meanwhile leave it alone
        core = history.core()
        return core, core.newest(), MadeFrom(history.windows, history.digest())
    if isinstance(load, LoadHistory):
        raise EplbError(
            "the ",
            Parameter("policy"),
            f" {policy} plans loads, not a history; expected {' or '.join(HISTORY_POLICIES)}",
            hint=[f"give {policy} the loads of one window, or of several"],
        )
    loads = canonical_loads(summed(load), threads)
    check_loads(load, loads)
    return loads, loads, MadeFrom(len(windows_of(load)))


def _check_name(option: str, name: Any, known: tuple[str, ...]) -> None:
    if not isinstance(name, str) or name not in known:
        raise unknown(option, name, known)


def _checked_options(policy: str, effort: str, target_gap: Any) -> dict[str, Any]:
    """The options that were given; refuses those that the policy would ignore."""
    gap = None if target_gap is None else real_number("target_gap", target_gap)
    if gap is not None and not 0 <= gap < math.inf:
        raise EplbError(
            Parameter("target_gap", short(target_gap)),
            " is not a gap; expected a finite number that is not negative, for example 0.0005 for "
            "0.05 %",
        )
    if policy in EFFORT_POLICIES:
        return {"effort": effort, "target_gap": gap}
    for name, value, default in (("effort", effort, "default"), ("target_gap", target_gap, None)):
        if value != default:
            raise EplbError(
                Parameter(name, short(value)),
                f" is an option of the policy {' or '.join(EFFORT_POLICIES)}, not of {policy}",
            )
    return {}


@overload
def evaluate(plan: Plan, load: LoadHistory, *, cluster: Cluster | None = None) -> Plan: ...
@overload
def evaluate(plan: Plan, load: Any, *, cluster: Cluster | None = None) -> Any: ...
def evaluate(plan: Plan, load: Any, *, cluster: Cluster | None = None) -> Plan | WindowFigures:
    """The same placement under other loads: GPU loads, balancedness, lower bound and gap.

    Args:
        plan: a placement.
        load: ``[layers, experts]``, as for :func:`plan`; several windows
            ``[windows, layers, experts]``; or a history, of which the newest window counts.
        cluster: other GPUs, with the same slots: what the placement is worth if GPUs have these
            speeds, or if some are lost and nothing is done.

    Returns:
        A plan with the same tables, certified for ``load``. For several windows,
        :class:`WindowFigures`: arrays ``[windows, layers]``.

    Raises:
        LoadError, LoadTypeError: the loads are invalid, or have another shape than the plan's.
        TopologyError: the cluster has other slots. VerificationError: an expert is on lost GPUs only.
    """
    _check_plan(plan)
    if cluster is not None:
        plan = plan.on_cluster(cluster)
    if isinstance(load, LoadHistory):
        return certified_for(plan, load.core().newest())
    windows = canonical_windows(load)
    check_loads(load, windows[0])
    if not has_windows(load):
        return certified_for(plan, windows[0])
    return WindowFigures.of([_core.certify(plan.placement, loads) for loads in windows])


def verify(plan: Plan, load: Any) -> str:
    """Checks a plan again, from the definitions, by code that shares nothing with the planners.

    It checks coverage, counts, ranks and groups on their nodes. If the plan has a certificate, it
    also checks that this is for ``load``, and every GPU load, maximum and lower bound in it.

    Args:
        plan: a plan.
        load: what it was made from. The certificate is for the newest window of a history, and for
            the sum of the windows if the policy plans that.

    Returns:
        A line that says what was checked. Without a certificate that is only the structure.

    Raises:
        VerificationError: something is false, with ``.layer``, ``.slot`` and ``.expert``.
        LoadError, LoadTypeError: the loads are invalid, or have another shape than the plan's.
    """
    _check_plan(plan)
    if isinstance(load, LoadHistory) or (has_windows(load) and plan.policy in HISTORY_POLICIES):
        loads, which = history_of(load).core().newest(), " under the newest window"
    else:
        loads, which = canonical_loads(summed(load)), ""
    layers = count(plan.num_layers, "layer")
    _core.verify(plan.placement, plan.certificate if plan.certified else None, loads)
    if not plan.certified:
        return (
            f"structure verified, {layers}; "
            "the plan has no certificate, so no load or bound was checked"
        )
    return f"verified: structure, GPU loads and lower bounds of {layers}{which}"


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
