//! A placement for a history alone: what there is before it does not matter.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::over_time::fleet::Fleet;
use crate::over_time::objective::{Cells, Objective, potential_of_any, share};
use crate::over_time::state::EMPTY;

/// Experts in all slots, no expert twice on a GPU, and the zone of each expert. Replicas are given by
/// Adams' method on `expected` loads; then the heaviest goes first, each replica to the GPU with room
/// whose potential grows least (LPT for vectors). Ties: the lower index wins.
///
/// Takes fleets in which no GPU has more slots than its zone has experts.
/// Time O(slots * GPUs * rows).
pub(crate) fn place<const N: usize>(
    fleet: &Fleet,
    objective: &Objective<N>,
    expected: &[u64],
) -> (Vec<u16>, Vec<u32>) {
    let zone_of_expert = zones_of_experts(fleet, objective);
    let mut slots = vec![EMPTY; fleet.num_slots()];
    for zone in 0..fleet.num_zones() {
        let experts: Vec<u16> = (0..fleet.experts() as u16)
            .filter(|&expert| zone_of_expert[expert as usize] as usize == zone)
            .collect();
        let replicas = adams(fleet, zone, &experts, expected);
        let order = heaviest_first(&experts, expected, &replicas);
        spread(fleet, objective, zone, &order, &mut slots);
    }
    (slots, zone_of_expert)
}

/// A zone for each group: the heaviest first, to the zone with room whose potential grows least.
fn zones_of_experts<const N: usize>(fleet: &Fleet, objective: &Objective<N>) -> Vec<u32> {
    let (size, zones) = (fleet.group_size(), fleet.num_zones());
    if zones == 1 {
        return vec![0; fleet.experts()];
    }
    // A sum over a group is at most all loads: as for one replica of an expert with everything.
    let sums = objective.sums(size);
    let shift = sums.shift_of_shares(&vec![1; fleet.groups()]);
    let sums = sums.shifted(shift);
    let mut order: Vec<usize> = (0..fleet.groups()).collect();
    order.sort_by_key(|&group| Reverse(potential_of_any(&sums[group])));
    let mut zone_of_group = vec![0; fleet.groups()];
    let mut load = vec![[0; N]; zones];
    let mut room = vec![fleet.groups() / zones; zones];
    for group in order {
        let growth = |&zone: &usize| growth(&load[zone], &sums[group]);
        let zone = (0..zones).filter(|&zone| room[zone] > 0).min_by_key(growth).unwrap_or(0);
        zone_of_group[group] = zone as u32;
        room[zone] -= 1;
        load[zone] = plus(&load[zone], &sums[group]);
    }
    (0..fleet.experts()).map(|expert| zone_of_group[expert / size]).collect()
}

/// An expert and its replicas; the one with the largest load per replica is the greatest.
#[derive(PartialEq, Eq)]
struct Loaded {
    load: u64,
    replicas: u32,
    expert: u16,
}

impl Ord for Loaded {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (
            u128::from(self.load) * u128::from(other.replicas),
            u128::from(other.load) * u128::from(self.replicas),
        );
        mine.cmp(&theirs).then(other.expert.cmp(&self.expert))
    }
}

impl PartialOrd for Loaded {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Adams' method for the experts of a zone, with at most one replica of an expert for each of its GPUs
/// that have slots.
fn adams(fleet: &Fleet, zone: usize, experts: &[u16], expected: &[u64]) -> Vec<u32> {
    let most = fleet.zone(zone).filter(|&gpu| !fleet.slots(gpu).is_empty()).count() as u32;
    let slots = fleet.zone_slots(zone).len();
    let loaded = |&expert: &u16| Loaded { load: expected[expert as usize], replicas: 1, expert };
    let mut heap: BinaryHeap<Loaded> = experts.iter().map(loaded).collect();
    let mut replicas = vec![1; expected.len()];
    for _ in experts.len()..slots {
        // An expert that is on every GPU already leaves the heap.
        while let Some(mut heaviest) = heap.pop() {
            if heaviest.replicas < most {
                heaviest.replicas += 1;
                replicas[heaviest.expert as usize] += 1;
                heap.push(heaviest);
                break;
            }
        }
    }
    replicas
}

/// Every expert with its replicas, by load per replica.
fn heaviest_first(experts: &[u16], expected: &[u64], replicas: &[u32]) -> Vec<(u16, u32)> {
    let mut order: Vec<Loaded> = experts
        .iter()
        .map(|&expert| {
            let at = expert as usize;
            Loaded { load: expected[at], replicas: replicas[at], expert }
        })
        .collect();
    order.sort_by(|a, b| b.cmp(a));
    order.into_iter().map(|loaded| (loaded.expert, loaded.replicas)).collect()
}

/// Fills the slots of a zone.
fn spread<const N: usize>(
    fleet: &Fleet,
    objective: &Objective<N>,
    zone: usize,
    order: &[(u16, u32)],
    slots: &mut [u16],
) {
    let mut replicas = vec![1; fleet.experts()];
    for &(expert, count) in order {
        replicas[expert as usize] = count;
    }
    let whole = objective.shifted(objective.shift_of_shares(&replicas));
    let shares: Vec<Cells<N>> =
        whole.iter().zip(&replicas).map(|(whole, &count)| share(whole, count)).collect();
    let empty = |gpu| Filling { slots: fleet.slots(gpu), used: 0, load: [0; N], potential: 0 };
    let mut gpus: Vec<Filling<N>> = fleet.zone(zone).map(empty).collect();
    for &(expert, count) in order {
        let share = &shares[expert as usize];
        // Where replicas of this expert are: they come one after another.
        let mut holders = vec![false; gpus.len()];
        for _ in 0..count {
            let fits = |&gpu: &usize| gpus[gpu].has_room() && !holders[gpu];
            let growth = |&gpu: &usize| gpus[gpu].growth(share);
            if let Some(gpu) = (0..gpus.len()).filter(fits).min_by_key(growth) {
                gpus[gpu].push(expert, share, slots);
                holders[gpu] = true;
                continue;
            }
            let Some((from, position, to)) = make_room(&gpus, &holders, slots) else { break };
            let moved = slots[gpus[from].slots.start + position];
            gpus[to].push(moved, &shares[moved as usize], slots);
            gpus[from].replace(position, expert, share, &shares[moved as usize], slots);
            holders[from] = true;
        }
    }
}

/// A GPU that is being filled.
struct Filling<const N: usize> {
    slots: Range<usize>,
    used: usize,
    load: Cells<N>,
    potential: u64,
}

impl<const N: usize> Filling<N> {
    fn has_room(&self) -> bool {
        self.used < self.slots.len()
    }

    fn growth(&self, share: &Cells<N>) -> u64 {
        potential_of_any(&plus(&self.load, share)) - self.potential
    }

    fn held<'a>(&self, slots: &'a [u16]) -> &'a [u16] {
        &slots[self.slots.start..][..self.used]
    }

    fn push(&mut self, expert: u16, share: &Cells<N>, slots: &mut [u16]) {
        slots[self.slots.start + self.used] = expert;
        self.used += 1;
        self.set_load(plus(&self.load, share));
    }

    fn replace(
        &mut self,
        position: usize,
        expert: u16,
        share: &Cells<N>,
        old_share: &Cells<N>,
        slots: &mut [u16],
    ) {
        slots[self.slots.start + position] = expert;
        self.set_load(less(&plus(&self.load, share), old_share));
    }

    fn set_load(&mut self, load: Cells<N>) {
        self.load = load;
        self.potential = potential_of_any(&load);
    }
}

/// Every GPU with room holds the expert already: a GPU without it, the position there of an expert
/// that can go to a GPU with room, and that GPU. If GPUs have equally many slots, there is one, for a
/// full GPU holds more experts than one with room. Otherwise the expert may have to do with fewer
/// replicas.
fn make_room<const N: usize>(
    gpus: &[Filling<N>],
    holders: &[bool],
    slots: &[u16],
) -> Option<(usize, usize, usize)> {
    let to = gpus.iter().position(Filling::has_room)?;
    let kept = gpus[to].held(slots);
    let others = (0..gpus.len()).filter(|&gpu| !holders[gpu]);
    let mut found = others.filter_map(|from| {
        let position = gpus[from].held(slots).iter().position(|moved| !kept.contains(moved))?;
        Some((from, position, to))
    });
    found.next()
}

fn growth<const N: usize>(load: &Cells<N>, more: &Cells<N>) -> u64 {
    potential_of_any(&plus(load, more)) - potential_of_any(load)
}

fn plus<const N: usize>(a: &Cells<N>, b: &Cells<N>) -> Cells<N> {
    std::array::from_fn(|row| a[row].saturating_add(b[row]))
}

fn less<const N: usize>(a: &Cells<N>, b: &Cells<N>) -> Cells<N> {
    std::array::from_fn(|row| a[row].saturating_sub(b[row]))
}
