//! The naive reference: canonical loads and both published policies, written from the words of the
//! design to be obviously right. It shares nothing with the crate but the struct of sizes. Scans
//! and sorts everywhere, fractions as pairs, 128-bit integers. Equal values: the lower index wins.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::cmp::{Ordering, Reverse};

use eplb_core::Sizes;

// --- Canonical loads -------------------------------------------------------------------------

/// An exact load: integer times power of two.
pub(crate) type Exact = (u64, i32);

/// A finite, non-negative float, exactly: doubled until it is whole, halved until it is small.
#[allow(clippy::float_arithmetic, reason = "doubling and halving a float here rounds nothing")]
pub(crate) fn exact(mut x: f64) -> Exact {
    assert!(x.is_finite() && x >= 0.0);
    let mut exponent = 0;
    while x.fract() != 0.0 {
        x *= 2.0;
        exponent -= 1;
    }
    while x >= 18_446_744_073_709_551_616.0 {
        x /= 2.0;
        exponent += 1;
    }
    (x as u64, exponent)
}

/// A half by its definition.
#[allow(clippy::float_arithmetic, reason = "these products and quotients are exact")]
pub(crate) fn half(bits: u16) -> f32 {
    let fraction = f32::from(bits % 1024);
    let magnitude = match bits / 1024 % 32 {
        0 => fraction / 16_777_216.0,
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1..exponent).fold((1024.0 + fraction) / 16_777_216.0, |x, _| x * 2.0),
    };
    if bits >= 0x8000 { -magnitude } else { magnitude }
}

/// A bfloat16 by its definition: the upper half of a single.
pub(crate) fn bfloat(bits: u16) -> f32 {
    let [low, high] = bits.to_le_bytes();
    f32::from_le_bytes([0, 0, low, high])
}

/// `round(x * 2^shift)`, to nearest, ties to even.
pub(crate) fn round((mantissa, exponent): Exact, shift: i32) -> u128 {
    let (mantissa, shift) = (u128::from(mantissa), exponent + shift);
    if mantissa == 0 || shift < -100 {
        return 0;
    }
    if shift >= 0 {
        return mantissa << shift;
    }
    let unit = 1 << -shift;
    let (whole, rest) = (mantissa / unit, mantissa % unit);
    match (2 * rest).cmp(&unit) {
        Ordering::Less => whole,
        Ordering::Equal => whole + whole % 2,
        Ordering::Greater => whole + 1,
    }
}

/// A row of canonical loads, and the s by which they are `round(x * 2^s)`.
pub(crate) fn canonical(row: &[Exact]) -> (Vec<u64>, i32) {
    let bits = |&(mantissa, exponent): &Exact| exponent + mantissa.ilog2() as i32 + 1;
    let Some(e) = row.iter().filter(|x| x.0 > 0).map(bits).max() else {
        return (vec![0; row.len()], 0);
    };
    let t: u128 = row.iter().map(|&x| round(x, 48 - e)).sum();
    let mut k = 0;
    while t >= 1 << (40 - k) {
        k -= 1;
    }
    let s = 48 - e + k;
    (row.iter().map(|&x| round(x, s) as u64).collect(), s)
}

// --- Replication -----------------------------------------------------------------------------

/// Numerator and denominator.
type Fraction = (u128, u128);

fn compare(a: Fraction, b: Fraction) -> Ordering {
    (a.0 * b.1).cmp(&(b.0 * a.1))
}

fn largest(fractions: &[Fraction]) -> usize {
    let mut best = 0;
    for i in 1..fractions.len() {
        if compare(fractions[i], fractions[best]).is_gt() {
            best = i;
        }
    }
    best
}

/// The expert with the largest w / divisor(r).
fn choice(w: &[u128], counts: &[u128], divisor: fn(u128) -> u128) -> usize {
    let divisors = counts.iter().map(|&r| divisor(r));
    largest(&w.iter().copied().zip(divisors).collect::<Vec<_>>())
}

fn adams(w: &[u128], counts: &[u128]) -> usize {
    choice(w, counts, |r| r)
}

/// The baseline's tail step: Adams' candidate or Sainte-Lague's, by the peaks they would leave.
fn tail_choice(w: &[u128], counts: &[u128]) -> usize {
    let (d, s) = (adams(w, counts), choice(w, counts, |r| 2 * r - 1));
    let mut averages: Vec<Fraction> = w.iter().copied().zip(counts.iter().copied()).collect();
    averages.sort_by(|&a, &b| compare(b, a));
    let second = averages[1.min(w.len() - 1)];
    let outlook = |x: usize| {
        let new = (w[x], counts[x] + 1);
        if compare(second, new).is_gt() { (second, new) } else { (new, second) }
    };
    let ((peak_d, sec_d), (peak_s, sec_s)) = (outlook(d), outlook(s));
    let order = compare(peak_d, peak_s).then(compare(sec_d, sec_s)).then(counts[d].cmp(&counts[s]));
    if order.is_le() { d } else { s }
}

/// Expert and rank of each of `slots` copies, and the counts of the experts.
fn replicate(w: &[u128], slots: usize, adaptive: bool) -> (Vec<usize>, Vec<usize>, Vec<u128>) {
    let mut expert: Vec<usize> = (0..w.len()).collect();
    let (mut rank, mut counts) = (vec![0; w.len()], vec![1; w.len()]);
    let redundant = slots - w.len();
    let tail = if adaptive { redundant.div_ceil(10).max(1) } else { 0 };
    for step in 0..redundant {
        let chosen =
            if step < redundant - tail { adams(w, &counts) } else { tail_choice(w, &counts) };
        expert.push(chosen);
        rank.push(counts[chosen] as usize);
        counts[chosen] += 1;
    }
    (expert, rank, counts)
}

// --- Packing ---------------------------------------------------------------------------------

/// Where an item is: its pack and its rank in the pack.
#[derive(Debug, Clone, Copy, Default)]
struct Seat {
    pack: usize,
    rank: usize,
}

fn pack(loads: &[u128], packs: usize, refine_steps: usize) -> Vec<Seat> {
    let per_pack = loads.len() / packs;
    if per_pack == 1 {
        return (0..packs).map(|pack| Seat { pack, rank: 0 }).collect();
    }
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by_key(|&i| (Reverse(loads[i]), i));
    let mut seats = vec![Seat::default(); loads.len()];
    let (mut total, mut count) = (vec![0; packs], vec![0; packs]);
    for i in order {
        let room = (0..packs).filter(|&p| count[p] < per_pack);
        let pack = room.min_by_key(|&p| (total[p], p)).unwrap();
        seats[i] = Seat { pack, rank: count[pack] };
        total[pack] += loads[i];
        count[pack] += 1;
    }
    if refine_steps > 0 {
        let (max, min) = (total.iter().max().unwrap(), total.iter().min().unwrap());
        let all: u128 = total.iter().sum();
        let extra = (max - min) * packs as u128 * 100 > 3 * all;
        for _ in 0..refine_steps + usize::from(extra) {
            if !swap(loads, packs, &mut seats) {
                break;
            }
        }
    }
    seats
}

/// One exchange between the heaviest and the lightest pack, if it brings them closer.
fn swap(loads: &[u128], packs: usize, seats: &mut [Seat]) -> bool {
    let items_of = |seats: &[Seat], p: usize| -> Vec<usize> {
        (0..loads.len()).filter(|&i| seats[i].pack == p).collect()
    };
    let total =
        |seats: &[Seat], p: usize| -> u128 { items_of(seats, p).iter().map(|&i| loads[i]).sum() };
    let h = (0..packs).min_by_key(|&p| (Reverse(total(seats, p)), p)).unwrap();
    let l = (0..packs).min_by_key(|&p| (total(seats, p), p)).unwrap();
    let (heavy, light) = (total(seats, h) as i128, total(seats, l) as i128);
    let d = heavy - light;
    let mut partners = items_of(seats, l);
    partners.sort_by_key(|&j| (loads[j], j));
    let residual = |i: usize, j: usize| (d - 2 * (loads[i] as i128 - loads[j] as i128)).abs();
    let mut candidates = Vec::new();
    for i in items_of(seats, h) {
        let reaches = |&j: &usize| 2 * loads[j] as i128 >= 2 * loads[i] as i128 - d;
        let pos = partners.iter().position(reaches).unwrap_or(partners.len() - 1);
        candidates.push((i, partners[pos]));
        candidates.push((i, partners[pos.saturating_sub(1)]));
    }
    // Of equal keys `min_by_key` takes the first.
    let &(i, j) = candidates.iter().min_by_key(|&&(i, j)| residual(i, j)).unwrap();
    if residual(i, j) >= d {
        return false;
    }
    (seats[i].pack, seats[j].pack) = (l, h);
    for p in [h, l] {
        let mut items = items_of(seats, p);
        items.sort_by_key(|&i| (seats[i].rank, i));
        for (rank, i) in items.into_iter().enumerate() {
            seats[i].rank = rank;
        }
    }
    for p in [h, l] {
        let now = total(seats, p) as i128;
        assert!(light < now && now < heavy, "a swap must bring the packs closer");
    }
    true
}

// --- Hierarchy -------------------------------------------------------------------------------

/// A planned layer, in the crate's types.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) phy2log: Vec<i64>,
    pub(crate) rank: Vec<i64>,
    pub(crate) logcnt: Vec<i64>,
}

/// The load of one of r copies, in 1/720720 of a canonical load.
#[allow(clippy::manual_div_ceil, reason = "as the design writes it")]
pub(crate) fn packing_load(w: u128, r: u128) -> u128 {
    (w * 720_720 + r - 1) / r
}

/// Groups and nodes that a plan respects.
pub(crate) fn hierarchy(sizes: &Sizes) -> (usize, usize) {
    if sizes.num_groups.is_multiple_of(sizes.num_nodes) {
        (sizes.num_groups as usize, sizes.num_nodes as usize)
    } else {
        (1, 1)
    }
}

/// One layer of canonical loads, planned by `adaptive` or else by `deepseek`.
pub(crate) fn plan(loads: &[u64], sizes: &Sizes, adaptive: bool) -> Layer {
    let (groups, nodes) = hierarchy(sizes);
    let w: Vec<u128> = loads.iter().map(|&w| u128::from(w)).collect();
    let (slots, gpus) = (sizes.num_replicas as usize, sizes.num_gpus as usize);
    let group_size = w.len() / groups;
    let group_loads: Vec<u128> = w.chunks(group_size).map(|group| group.iter().sum()).collect();
    let seats = pack(&group_loads, nodes, usize::from(adaptive));
    let mut layer =
        Layer { phy2log: vec![-1; slots], rank: vec![-1; slots], logcnt: vec![-1; w.len()] };
    for node in 0..nodes {
        let mut members: Vec<usize> = (0..groups).filter(|&g| seats[g].pack == node).collect();
        members.sort_by_key(|&g| seats[g].rank);
        let expert_of = |g: usize| g * group_size..(g + 1) * group_size;
        let experts: Vec<usize> = members.into_iter().flat_map(expert_of).collect();
        let local: Vec<u128> = experts.iter().map(|&e| w[e]).collect();
        let (copy, rank, counts) = replicate(&local, slots / nodes, adaptive);
        let loads: Vec<u128> = copy.iter().map(|&e| packing_load(local[e], counts[e])).collect();
        let seats = pack(&loads, gpus / nodes, 2 * usize::from(adaptive));
        for (i, seat) in seats.iter().enumerate() {
            let slot = node * (slots / nodes) + seat.pack * (slots / gpus) + seat.rank;
            layer.phy2log[slot] = experts[copy[i]] as i64;
            layer.rank[slot] = rank[i] as i64;
        }
        for (&expert, &count) in experts.iter().zip(&counts) {
            layer.logcnt[expert] = count as i64;
        }
    }
    layer
}
