"""Packing on the device: n items into g packs of exactly n/g, all rows in lockstep.

Loads are exact integers whose sums stay below 2^60. Equal values: the lower index wins. torch
documents that argmax and argmin give the first of equals, and that stable sorts keep their order.
"""

from __future__ import annotations

import torch

#: Above every load of a pack.
FULL = 2**62


def pack(loads: torch.Tensor, packs: int, swaps: int) -> torch.Tensor:
    """The items of each pack by rank, ``[rows, packs, n/packs]``, for loads ``[rows, n]``.

    After the greedy packing come ``swaps`` swaps, and one more where the packs are uneven; 0 stands
    for none at all.
    """
    rows, items = loads.shape
    if items == packs:
        return torch.arange(items, device=loads.device).expand(rows, -1).unsqueeze(2)
    placed = greedy(loads, packs)
    if swaps == 0 or packs == 1:
        return placed
    extra = uneven(totals(loads, placed))
    # A row that need not swap finds the same at the next step, so no row must remember it.
    for _ in range(swaps):
        placed = swap(loads, placed, torch.ones_like(extra))
    return swap(loads, placed, extra)


def greedy(loads: torch.Tensor, packs: int) -> torch.Tensor:
    """Each item, heaviest first, to the lightest pack that is not full; as :func:`pack` gives it.

    The only loop over items: six kernels for each.
    """
    rows, items = loads.shape
    by_load, order = loads.sort(dim=1, descending=True, stable=True)
    if packs == 1:
        return order.unsqueeze(1)
    # What an item adds to its pack, [rows, 2, items], and packs so far, [rows, 2, packs]: load, count
    gain = torch.stack([by_load, torch.ones_like(by_load)], dim=1)
    state = loads.new_zeros(rows, 2, packs)
    chosen = loads.new_empty(items, rows, 1)
    pack_index = torch.arange(packs, device=loads.device)
    for item in range(items):
        is_full = state[:, 1] == items // packs
        open_load = state[:, 0].masked_fill(is_full, FULL)
        torch.argmin(open_load, dim=1, keepdim=True, out=chosen[item])
        # scatter_add_ would do, but with deterministic algorithms it copies from the host.
        is_chosen = (pack_index == chosen[item]).unsqueeze(1)
        state += is_chosen * gain[:, :, item : item + 1]
    # An item's rank is the number of earlier ones in its pack: a stable sort by pack keeps them so.
    arrived = chosen.squeeze(2).T.sort(dim=1, stable=True).indices
    return order.gather(1, arrived).view(rows, packs, items // packs)


def totals(loads: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
    """The load of each pack ``[rows, packs]``."""
    return loads.gather(1, placed.flatten(1)).view(placed.shape).sum(dim=2)


def uneven(total: torch.Tensor) -> torch.Tensor:
    """Whether (max - min) / mean > 0.03, ``[rows, 1]``."""
    packs = total.shape[1]
    spread = total.amax(dim=1, keepdim=True) - total.amin(dim=1, keepdim=True)
    return spread > 3 * total.sum(dim=1, keepdim=True) // (100 * packs)


def swap(loads: torch.Tensor, placed: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """``placed`` after one exchange between heaviest and lightest pack, in rows that it helps.

    ``allowed`` is bool ``[rows, 1]``. Below, each row has two packs, the heavy and the light one,
    of k items.
    """
    per_pack = placed.shape[2]
    total = totals(loads, placed)
    heaviest, lightest = total.argmax(dim=1, keepdim=True), total.argmin(dim=1, keepdim=True)
    both = torch.cat([heaviest, lightest], dim=1)
    by_rank = placed.gather(1, both.unsqueeze(2).expand(-1, -1, per_pack))  # [rows, 2, k] items
    items, ranks = by_rank.sort(dim=2)
    load = loads.gather(1, items.flatten(1)).view(items.shape)
    heavy = load[:, 0]
    light, light_order = load[:, 1].sort(dim=1, stable=True)

    # For each heavy item the first light one with load >= heavy - d/2, and the one before it.
    d = total.gather(1, heaviest) - total.gather(1, lightest)  # [rows, 1]
    first = torch.searchsorted(2 * light, 2 * heavy - d).clamp(max=per_pack - 1)
    partner = torch.stack([first, (first - 1).clamp(min=0)], dim=2)  # [rows, k, 2]
    partner_load = light.gather(1, partner.flatten(1)).view(partner.shape)
    residual = (d.unsqueeze(2) - 2 * (heavy.unsqueeze(2) - partner_load)).abs().flatten(1)
    best = residual.argmin(dim=1, keepdim=True)  # 2 * heavy item, or 1 more
    helps = (residual.gather(1, best) < d) & allowed

    # Exchange the two, with their ranks, and number both packs anew by (rank, item).
    light_item = light_order.gather(1, partner.flatten(1).gather(1, best))
    leaving = torch.stack([best // 2, light_item], dim=1)  # [rows, 2, 1] places in `items`
    numbers = torch.arange(per_pack, device=loads.device) * loads.shape[1] + by_rank
    number = numbers.gather(2, ranks.gather(2, leaving))
    replaced = (numbers == number) & helps.unsqueeze(2)
    renumbered = torch.where(replaced, number.flip(1), numbers).sort(dim=2).values % loads.shape[1]

    pack_index = torch.arange(placed.shape[1], device=loads.device).unsqueeze(1)  # [packs, 1]
    placed = torch.where(pack_index == heaviest.unsqueeze(2), renumbered[:, :1], placed)
    return torch.where(pack_index == lightest.unsqueeze(2), renumbered[:, 1:], placed)
