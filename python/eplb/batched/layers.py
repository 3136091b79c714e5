"""Layers on the device, all in lockstep: groups to nodes, replicas of experts, replicas to GPUs."""

from __future__ import annotations

import torch

from eplb.batched.packing import pack

#: lcm(1..16): loads of up to 16 replicas are whole in packing units, 1/720720 of a canonical one.
SHARE_UNITS = 720_720
#: Swaps of groups on nodes and of replicas on GPUs, by policy.
GROUP_SWAPS = {"deepseek": 0, "adaptive": 1}
REPLICA_SWAPS = {"deepseek": 0, "adaptive": 2}


def plan_rows(
    loads: torch.Tensor, num_replicas: int, groups: int, nodes: int, num_gpus: int, policy: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """phy2log, log2phy and logcnt of canonical loads ``[layers, L]``; sizes that go together."""
    layers, num_experts = loads.shape
    experts = experts_by_node(loads, groups, nodes, policy)
    # From here on a row is a node of a layer, and an expert goes by its place in `experts`.
    of_node = loads.gather(1, experts).view(layers * nodes, num_experts // nodes)
    replicas, ranks, counts = replicate(of_node, num_replicas // nodes, policy)
    share = (of_node * SHARE_UNITS + counts - 1) // counts
    placed = pack(share.gather(1, replicas), num_gpus // nodes, REPLICA_SWAPS[policy]).flatten(1)
    local = replicas.gather(1, placed)
    phy2log = experts.view_as(of_node).gather(1, local).view(layers, num_replicas)
    rank = ranks.gather(1, placed).view(layers, num_replicas)
    logcnt = counts.view(layers, num_experts).gather(1, experts.argsort(dim=1))
    return phy2log, log2phy_of(phy2log, rank, logcnt), logcnt


def experts_by_node(loads: torch.Tensor, groups: int, nodes: int, policy: str) -> torch.Tensor:
    """The experts node by node ``[layers, L]``: by the ranks of their groups, then by index."""
    layers, num_experts = loads.shape
    size = num_experts // groups
    group_load = loads.view(layers, groups, size).sum(dim=2)
    ordered = pack(group_load, nodes, GROUP_SWAPS[policy]).view(layers, groups, 1)
    return (ordered * size + torch.arange(size, device=loads.device)).flatten(1)


def replicate(
    loads: torch.Tensor, slots: int, policy: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Expert and rank of each replica ``[rows, slots]``, and the counts, for loads ``[rows, n]``.

    Replicas go by Adams' method, the largest w/r; in ``adaptive`` the last tenth by Sainte-Lague's,
    the largest w/(2r-1), which the seed's tail always prefers. Loads are at most 2^40 and divisors
    below 2^11, so float64 quotients, correctly rounded, order like the fractions. The divisor is a
    tensor: by a number torch would multiply with its inverse.
    """
    rows, num_experts = loads.shape
    first = torch.arange(num_experts, device=loads.device).expand(rows, -1)
    counts = torch.ones_like(loads)
    spares = slots - num_experts
    if spares == 0:
        return first, torch.zeros_like(loads), counts
    tail = -(-spares // 10) if policy == "adaptive" else 0
    exact = loads.to(torch.float64)
    expert, rank = loads.new_empty(2, spares, rows, 1)
    for spare in range(spares):
        divisor = counts if spare < spares - tail else 2 * counts - 1
        torch.argmax(exact / divisor, dim=1, keepdim=True, out=expert[spare])
        torch.gather(counts, 1, expert[spare], out=rank[spare])
        counts += first == expert[spare]
    replicas = torch.cat([first, expert.squeeze(2).T], dim=1)
    return replicas, torch.cat([torch.zeros_like(loads), rank.squeeze(2).T], dim=1), counts


def log2phy_of(phy2log: torch.Tensor, rank: torch.Tensor, logcnt: torch.Tensor) -> torch.Tensor:
    """Slots of each expert by rank, ``[layers, L, P - L + 1]``, padded with -1."""
    layers, num_experts = logcnt.shape
    num_replicas = phy2log.shape[1]
    width = num_replicas - num_experts + 1
    slots = (phy2log * width + rank).argsort(dim=1)  # by expert, then by rank
    start = logcnt.cumsum(dim=1) - logcnt
    ranks = torch.arange(width, device=phy2log.device)
    place = (start.unsqueeze(2) + ranks).clamp(max=num_replicas - 1)
    found = slots.gather(1, place.flatten(1)).view(layers, num_experts, width)
    return found.masked_fill(ranks >= logcnt.unsqueeze(2), -1)
