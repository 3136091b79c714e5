"""A best placement of a small layer, by HiGHS, a mixed-integer solver.

The program chooses copies and places at once: experts e have r copies or not, n[e, r, g] of them
on GPU g.
"""

from __future__ import annotations

import highspy


def optimum(
    load: list[int], num_replicas: int, num_gpus: int, *, distinct: bool
) -> tuple[list[int], float]:
    """phy2log of a best placement on equal GPUs, and a bound below which none is."""
    slots = [num_replicas // num_gpus] * num_gpus
    return optimum_on(load, slots, [1] * num_gpus, distinct=distinct)


def optimum_on(
    load: list[int], slots: list[int], speeds: list[int], *, distinct: bool
) -> tuple[list[int], float]:
    """The same on GPUs with these slots and speeds; the bound is load by speed."""
    num_gpus, num_replicas = len(slots), sum(slots)
    model = highspy.Highs()  # type: ignore[no-untyped-call]
    model.silent()
    model.setOptionValue("mip_rel_gap", 0.0)
    model.setOptionValue("threads", 1)
    gpus, experts = range(num_gpus), range(len(load))
    most = num_replicas - len(load) + 1
    counts = range(1, min(most, num_gpus) + 1 if distinct else most + 1)
    peak = model.addVariable(lb=sum(load) / sum(speeds))
    has = {(e, r): model.addBinary() for e in experts for r in counts}
    on = {
        (e, r, g): model.addIntegral(lb=0, ub=1 if distinct else r)
        for e in experts
        for r in counts
        for g in gpus
    }
    for e in experts:
        model.addConstr(sum(has[e, r] for r in counts) == 1)
        for r in counts:
            model.addConstr(sum(on[e, r, g] for g in gpus) == r * has[e, r])
    for g in gpus:
        everything = [(e, r) for e in experts for r in counts]
        model.addConstr(sum(on[e, r, g] for e, r in everything) == slots[g])
        model.addConstr(sum(load[e] / r * on[e, r, g] for e, r in everything) <= speeds[g] * peak)
    model.minimize(peak)
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    phy2log = [
        e
        for g in gpus
        for (e, r, h), copies in on.items()
        if h == g
        for _ in range(round(model.val(copies)))
    ]
    return phy2log, model.getInfo().mip_dual_bound
