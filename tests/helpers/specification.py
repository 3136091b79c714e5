"""The published policies of eplb in pure Python integers: an executable specification.

It is written to be obviously right, not fast, and it is the oracle of the Rust core. Read it from
top to bottom: exact loads, replication, packing, hierarchy, bounds, digest. No decision uses a
float: shares are compared as fractions, everything else is an integer.

Names, in every function:

    L experts, P slots (physical experts), G GPUs; P / G slots on each GPU
    w[expert]        canonical load of a logical expert, an integer
    counts[expert]   copies of an expert, at least 1; `logcnt` once the layer is planned
    phy2log[slot]    the logical expert in a slot; slot p lives on GPU p // (P / G)
    rank[slot]       which copy of its expert a slot holds, 0 .. copies - 1
    packing unit     1/720720 of a canonical unit, the unit of every load of a replica or a GPU

Equal values: the lower index wins, everywhere. Python's `min`, `max` and `sorted` (also with
`reverse=True`) keep the first of equals first, so scanning by ascending index is that rule.
"""

import hashlib
import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from math import ceil, factorial, isfinite, lcm
from typing import Literal

Policy = Literal["deepseek", "adaptive"]
Row = list[int]
Number = int | float  # an int is taken as it is, never through a float

SHARE_UNITS = lcm(*range(1, 17))  # 720720: shares among up to 16 copies are whole
MAX_EXPERTS, MAX_SLOTS = 2**14, 2**20  # so that every sum of a real implementation fits 64 bits

# The refinement depths of the unchanged, public rest of the seed's program.
GROUP_SWAPS: dict[Policy, int] = {"deepseek": 0, "adaptive": 1}
REPLICA_SWAPS: dict[Policy, int] = {"deepseek": 0, "adaptive": 2}


# --- Exact loads ------------------------------------------------------------------------------


def round_scaled(x: Number, s: int) -> int:
    """Round x * 2**s to the nearest integer, ties to even; exact for every int and float."""
    numerator, denominator = x.as_integer_ratio()
    numerator, denominator = numerator << max(s, 0), denominator << max(-s, 0)
    whole, rest = divmod(numerator, denominator)
    up = 2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1)
    return whole + up


def binary_exponent(x: Number) -> int:
    """The e with 2**(e-1) <= x < 2**e, for x > 0."""
    numerator, denominator = x.as_integer_ratio()  # the denominator is a power of two
    return numerator.bit_length() - (denominator.bit_length() - 1)


def canonical_row(row: Sequence[Number]) -> tuple[Row, int]:
    """One layer's loads [L] as integers with a total of about 2**40, and the exponent s.

    The canonical load of x is x * 2**s, rounded; s = 48 - e + k. A row of zeros has s = 0.
    """
    if not all(isfinite(x) and x >= 0 for x in row):
        raise ValueError("loads must be finite and non-negative")
    largest = max(row)
    if largest == 0:
        return [0] * len(row), 0
    s = 48 - binary_exponent(largest)
    total = sum(round_scaled(x, s) for x in row)
    s += 40 - total.bit_length()  # k: 2**39 <= total * 2**k < 2**40
    return [round_scaled(x, s) for x in row], s


def packing_load(w: int, r: int) -> int:
    """The load of one of r copies of an expert with canonical load w, in packing units, up."""
    return (w * SHARE_UNITS + r - 1) // r


# --- Replication ------------------------------------------------------------------------------


def averages(w: Sequence[int], counts: Sequence[int]) -> list[Fraction]:
    """w/r of each expert: what one of its copies carries, in canonical units."""
    return [Fraction(load, r) for load, r in zip(w, counts, strict=True)]


def adams_choice(w: Sequence[int], counts: Sequence[int]) -> int:
    """The expert with the largest w/r: Adams' method over copies, D'Hondt over spares."""
    return max(range(len(w)), key=averages(w, counts).__getitem__)


def sainte_lague_choice(w: Sequence[int], counts: Sequence[int]) -> int:
    """The expert with the largest w/(2r-1): Sainte-Lague over spares."""
    return adams_choice(w, [2 * r - 1 for r in counts])


def tail_choice(w: Sequence[int], counts: Sequence[int]) -> int:
    """The seed's tail step: D or S, by the peak and the second peak that each seems to leave.

    It always takes S. (max(second, new), min(second, new)) orders like `new` alone, and if D and S
    differ then r_D > r_S and w_D/r_D >= w_S/r_S, so w_D/(r_D+1) > w_S/(r_S+1).
    """
    by_size = sorted(averages(w, counts), reverse=True)
    second = by_size[1] if len(by_size) > 1 else by_size[0]

    def outlook(x: int) -> tuple[Fraction, Fraction, int]:
        new = Fraction(w[x], counts[x] + 1)
        return max(second, new), min(second, new), counts[x]

    d, s = adams_choice(w, counts), sainte_lague_choice(w, counts)
    return d if outlook(d) <= outlook(s) else s


def fix_up_move(w: Sequence[int], counts: Sequence[int]) -> tuple[int, int] | None:
    """The seed's best (donor, receiver), or None if no candidate lowers the peak."""
    average = averages(w, counts)
    ascending = sorted(range(len(w)), key=average.__getitem__)
    descending = sorted(range(len(w)), key=average.__getitem__, reverse=True)
    donors, receivers = descending[:2], ascending[:2]
    peak, second = average[donors[0]], average[donors[-1]]
    best, best_peak = None, peak
    for donor in donors:
        for receiver in receivers:
            if counts[donor] <= 1 or donor == receiver:
                continue
            others = second if donor == donors[0] else peak
            new_donor = Fraction(w[donor], counts[donor] - 1)
            new_receiver = Fraction(w[receiver], counts[receiver] + 1)
            new_peak = max(others, new_donor, new_receiver)
            if new_peak < best_peak:
                best, best_peak = (donor, receiver), new_peak
    return best


def move_copy(donor: int, receiver: int, phy2log: Row, rank: Row, counts: Row) -> None:
    """Give the donor's copy of highest rank to the receiver, in place."""
    slot = max((p for p, x in enumerate(phy2log) if x == donor), key=rank.__getitem__)
    phy2log[slot], rank[slot] = receiver, counts[receiver]
    counts[donor] -= 1
    counts[receiver] += 1


def fix_up(w: Sequence[int], phy2log: Row, rank: Row, counts: Row) -> int:
    """The seed's fix-up, in place; the number of moves made, which is always 0.

    Proof. Let p be the peak, the largest average w/r. If the donor is the expert at the peak, its
    new average w/(r-1) >= w/r = p. If it is another, the peak stands beside it and counts as
    `others` = p. Either way the new peak is at least p, and only a new peak below p is taken.
    (Loads are not negative; a negative one is how a test makes it fire.)
    """
    if len(w) < 2:
        return 0
    before = max(averages(w, counts))
    move = fix_up_move(w, counts)
    if move is None:
        return 0
    move_copy(*move, phy2log, rank, counts)
    gain = before - max(averages(w, counts))
    if gain >= Fraction(15, 100) * before:
        return 1
    move = fix_up_move(w, counts)  # the first gained little: once more
    if move is None:
        return 1
    move_copy(*move, phy2log, rank, counts)
    return 2


def replicate(w: Sequence[int], m: int, policy: Policy) -> tuple[Row, Row, Row]:
    """Spread m copies over n = len(w) experts: phy2log [m], rank [m], counts [n].

    Slots 0 .. n-1 hold the experts' first copies; each further slot one more copy.
    """
    n = len(w)
    phy2log, rank, counts = list(range(n)), [0] * n, [1] * n
    spares = m - n
    tail = -(-spares // 10) if policy == "adaptive" else 0  # ceil(spares/10): 1 or more if any
    for step in range(spares):
        choose = adams_choice if step < spares - tail else tail_choice
        expert = choose(w, counts)
        phy2log.append(expert)
        rank.append(counts[expert])
        counts[expert] += 1
    if policy == "adaptive" and spares > 0:
        fix_up(w, phy2log, rank, counts)
    return phy2log, rank, counts


# --- Packing n items into g packs of exactly n/g ----------------------------------------------


def pack(loads: Sequence[int], packs: int, refine_steps: int) -> tuple[Row, Row]:
    """Pack items [n] into equally many-itemed packs: pack of each item [n], rank in its pack [n].

    Any one unit of load serves: canonical units for groups, packing units for replicas.
    """
    if len(loads) == packs:
        return list(range(packs)), [0] * packs
    pack_of, rank = greedy(loads, packs)
    if refine_steps > 0:
        for _ in range(allowed_swaps(pack_totals(loads, pack_of, packs), refine_steps)):
            if not swap_once(loads, packs, pack_of, rank):
                break
    return pack_of, rank


def greedy(loads: Sequence[int], packs: int) -> tuple[Row, Row]:
    """Longest processing time first: the largest item left goes to the lightest pack not full."""
    n = len(loads)
    pack_of, rank = [0] * n, [0] * n
    total, count = [0] * packs, [0] * packs
    for item in sorted(range(n), key=loads.__getitem__, reverse=True):
        not_full = (p for p in range(packs) if count[p] < n // packs)
        lightest = min(not_full, key=total.__getitem__)
        pack_of[item], rank[item] = lightest, count[lightest]
        total[lightest] += loads[item]
        count[lightest] += 1
    return pack_of, rank


def pack_totals(loads: Sequence[int], pack_of: Sequence[int], packs: int) -> Row:
    """The load of each pack [g]."""
    total = [0] * packs
    for item, p in enumerate(pack_of):
        total[p] += loads[item]
    return total


def allowed_swaps(total: Sequence[int], refine_steps: int) -> int:
    """One swap more than `refine_steps` if (max - min) / mean > 0.03. No mean, no difference."""
    difference = max(total) - min(total)
    return refine_steps + (difference * len(total) * 100 > 3 * sum(total))


def swap_once(loads: Sequence[int], packs: int, pack_of: Row, rank: Row) -> bool:
    """Exchange one item of the heaviest pack and one of the lightest, in place, if that helps.

    Exchanging i and j leaves the two packs |d - 2 * (load_i - load_j)| apart, the residual; it
    must be below d. Then both end strictly between their old loads: no peak ever rises.
    """
    total = pack_totals(loads, pack_of, packs)
    heavy, light = total.index(max(total)), total.index(min(total))
    d = total[heavy] - total[light]
    if d == 0:
        return False

    def residual(pair: tuple[int, int]) -> int:
        return abs(d - 2 * (loads[pair[0]] - loads[pair[1]]))

    i, j = best = min(swap_candidates(loads, pack_of, heavy, light, d), key=residual)
    if residual(best) >= d:
        return False
    pack_of[i], pack_of[j] = light, heavy
    renumber(heavy, pack_of, rank)
    renumber(light, pack_of, rank)
    return True


def swap_candidates(
    loads: Sequence[int], pack_of: Sequence[int], heavy: int, light: int, d: int
) -> list[tuple[int, int]]:
    """For each item i of the heavy pack, the two of the light one around load_i - d/2."""
    movers = [i for i, p in enumerate(pack_of) if p == heavy]
    partners = [j for j, p in enumerate(pack_of) if p == light]
    partners.sort(key=loads.__getitem__)
    pairs = []
    for i in movers:
        reaching = (q for q, j in enumerate(partners) if 2 * loads[j] >= 2 * loads[i] - d)
        pos = next(reaching, len(partners) - 1)
        pairs += [(i, partners[pos]), (i, partners[max(pos - 1, 0)])]
    return pairs


def renumber(p: int, pack_of: Sequence[int], rank: Row) -> None:
    """Number pack p's items 0 .. n/g - 1 in order of their ranks, equal ones by index; in place."""
    items = [i for i, q in enumerate(pack_of) if q == p]
    for new, item in enumerate(sorted(items, key=rank.__getitem__)):
        rank[item] = new


# --- Hierarchy: groups to nodes, copies in each node, copies to the node's GPUs ---------------


def with_fallback(num_groups: int, num_nodes: int) -> tuple[int, int]:
    """Groups that do not divide over the nodes: one group and one node, a global plan."""
    return (num_groups, num_nodes) if num_groups % num_nodes == 0 else (1, 1)


def group_totals(w: Sequence[int], groups: int) -> Row:
    """The load of each group of L/groups neighbouring experts [groups], in canonical units."""
    size = len(w) // groups
    return [sum(w[g * size : (g + 1) * size]) for g in range(groups)]


def experts_by_node(w: Sequence[int], groups: int, nodes: int, policy: Policy) -> list[Row]:
    """The experts of each node [nodes][L/nodes]: its groups by rank, each group's by index."""
    size = len(w) // groups
    node_of, rank = pack(group_totals(w, groups), nodes, GROUP_SWAPS[policy])
    ordered = sorted(range(groups), key=rank.__getitem__)
    return [
        [x for g in ordered if node_of[g] == node for x in range(g * size, (g + 1) * size)]
        for node in range(nodes)
    ]


def check_sizes(experts: int, replicas: int, groups: int, nodes: int, gpus: int) -> None:
    """Raise ValueError for a layer that cannot be planned; groups and nodes after the fallback."""
    for requirement, holds in (
        ("L % groups == 0", experts % groups == 0),
        ("G % nodes == 0", gpus % nodes == 0),
        ("P % G == 0", replicas % gpus == 0),
        ("P >= L", replicas >= experts),
        ("L <= 2**14 and P <= 2**20", experts <= MAX_EXPERTS and replicas <= MAX_SLOTS),
    ):
        if not holds:
            raise ValueError(requirement)


def plan_layer(
    w: Sequence[int],
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    policy: Policy,
) -> tuple[Row, Row, Row]:
    """Plan one layer of canonical loads w [L]: phy2log [P], rank [P], logcnt [L]."""
    if min(len(w), num_replicas, num_groups, num_nodes, num_gpus) < 1:
        raise ValueError("every size is at least 1")
    groups, nodes = with_fallback(num_groups, num_nodes)
    check_sizes(len(w), num_replicas, groups, nodes, num_gpus)
    node_slots, gpu_slots = num_replicas // nodes, num_replicas // num_gpus
    phy2log, rank, logcnt = [0] * num_replicas, [0] * num_replicas, [0] * len(w)
    for node, experts in enumerate(experts_by_node(w, groups, nodes, policy)):
        local_w = [w[x] for x in experts]
        local, copy_rank, counts = replicate(local_w, node_slots, policy)
        loads = [packing_load(local_w[x], counts[x]) for x in local]
        gpu_of, rank_on_gpu = pack(loads, num_gpus // nodes, REPLICA_SWAPS[policy])
        for copy, x in enumerate(local):
            slot = node * node_slots + gpu_of[copy] * gpu_slots + rank_on_gpu[copy]
            phy2log[slot], rank[slot] = experts[x], copy_rank[copy]
        for x, r in zip(experts, counts, strict=True):
            logcnt[x] = r
    return phy2log, rank, logcnt


def plan(
    load: Sequence[Sequence[Number]],
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    policy: Policy,
) -> tuple[list[Row], list[Row], list[Row]]:
    """Plan raw loads [layers, L]: phy2log [layers, P], rank [layers, P], logcnt [layers, L]."""
    sizes = num_replicas, num_groups, num_nodes, num_gpus
    layers = [plan_layer(canonical_row(row)[0], *sizes, policy) for row in load]
    return [x[0] for x in layers], [x[1] for x in layers], [x[2] for x in layers]


# --- What a plan costs, and what no plan can beat ---------------------------------------------


def gpu_loads(
    phy2log: Sequence[int], logcnt: Sequence[int], w: Sequence[int], num_gpus: int
) -> Row:
    """The load of each GPU [G], in packing units."""
    slots = len(phy2log) // num_gpus
    loads = [packing_load(w[x], logcnt[x]) for x in phy2log]
    return [sum(loads[g * slots : (g + 1) * slots]) for g in range(num_gpus)]


def mean_bound(w: Sequence[int], num_gpus: int) -> int:
    """Some GPU carries at least the mean; packing units, up."""
    return -(-SHARE_UNITS * sum(w) // num_gpus)


def adams_bound(w: Sequence[int], num_replicas: int) -> int:
    """Some GPU carries the largest replica, smallest under Adams' method; packing units."""
    counts = replicate(w, num_replicas, "deepseek")[2]
    return max(packing_load(load, r) for load, r in zip(w, counts, strict=True))


def lightest_peak(loads: Sequence[int], bins: int) -> int:
    """The smallest possible heaviest bin, len(loads)/bins items in each; by enumeration."""
    if bins == 1:
        return sum(loads)
    first, rest = loads[0], range(1, len(loads))  # the first item's bin, without loss
    peaks = []
    for others in combinations(rest, len(loads) // bins - 1):
        filled = first + sum(loads[i] for i in others)
        left = [loads[i] for i in rest if i not in others]
        peaks.append(max(filled, lightest_peak(left, bins - 1)))
    return min(peaks)


def node_bound(w: Sequence[int], num_groups: int, num_nodes: int, num_gpus: int) -> int:
    """Some GPU of the heaviest node carries that node's mean; packing units, up. Small sizes."""
    groups, nodes = with_fallback(num_groups, num_nodes)
    peak = lightest_peak(group_totals(w, groups), nodes)
    return mean_bound([peak], num_gpus // nodes)


def crowded_peak(loads: Sequence[int], bins: int) -> int:
    """What the heaviest bin has at least, len(loads)/bins items in each, by the pigeonhole principle.

    Of the j * bins + 1 heaviest items some bin holds j + 1, and at least the lightest beside them.
    """
    size, heaviest_first = len(loads) // bins, sorted(loads, reverse=True)
    return max(
        sum(heaviest_first[: j * bins + 1][-j - 1 :]) + sum(sorted(loads)[: size - j - 1])
        for j in range(size)
    )


def packing_bound(w: Sequence[int], num_gpus: int) -> int:
    """Without spare slots each expert has one copy, and some GPU at least this; packing units.

    The best packing of experts on GPUs, where these are two a GPU at most or there are at most
    100,000 packings; else the mean in whole units or the pigeonhole bound.
    """
    size = len(w) // num_gpus
    packings = factorial(len(w)) // factorial(size) ** num_gpus // factorial(num_gpus)
    if size == 2:  # of two pairs, another pairing has one that is at least as heavy as both
        peak = max(map(sum, zip(sorted(w), sorted(w, reverse=True), strict=True)))
    elif packings <= 100_000:
        peak = lightest_peak(w, num_gpus)
    else:
        peak = max(ceil(Fraction(sum(w), num_gpus)), crowded_peak(w, num_gpus))
    return peak * SHARE_UNITS


def fewest_slots(w: Sequence[int], most: int, small: int, bigs: int) -> Fraction:
    """The slots that copies of at most `most` take, where at most `bigs` are above `small`.

    An expert takes more slots where none of its copies is to be big. Big copies go where they
    save most slots each; the last expert may have them in part. Small sizes.
    """
    copies = [max(1, -(-load * SHARE_UNITS // most)) for load in w]
    not_big = [max(1, -(-load * SHARE_UNITS // small)) for load in w]
    slots, room = Fraction(sum(not_big)), bigs
    for least, more in sorted(
        zip(copies, not_big, strict=True), key=lambda pair: Fraction(pair[1], pair[0]), reverse=True
    ):
        taken = min(least, room)
        slots -= Fraction((more - least) * taken, least)
        room -= taken
    return slots


def counting_bound(w: Sequence[int], num_replicas: int, num_gpus: int) -> int:
    """The least t that counting allows, from the mean and Adams' bound on; packing units.

    Of copies of more than t / (j+1) at most j fit on a GPU that carries at most t. By bisection.
    """

    def allowed(t: int) -> bool:
        return all(
            t // (j + 1) == 0
            or -(-fewest_slots(w, t, t // (j + 1), j * num_gpus) // 1) <= num_replicas
            for j in range(1, num_replicas // num_gpus)
        )

    least = max(mean_bound(w, num_gpus), adams_bound(w, num_replicas))
    low, high = least, max(least, sum(w) * SHARE_UNITS)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if allowed(middle) else (middle + 1, high)
    return low


# --- Digest -----------------------------------------------------------------------------------


def digest(
    phy2log_rows: Sequence[Sequence[int]], num_gpus: int, num_groups: int, num_nodes: int
) -> str:
    """16 hex digits of SHA-256 over a tag, the sizes and phy2log [layers, P], as u32 LE."""
    layers, slots = len(phy2log_rows), len(phy2log_rows[0])
    header = [layers, slots, num_gpus, num_groups, num_nodes]
    entries = [x for row in phy2log_rows for x in row]
    numbers = struct.pack(f"<{len(header) + len(entries)}I", *header, *entries)
    return hashlib.sha256(b"eplb plan 1\n" + numbers).hexdigest()[:16]
