//! Experts for empty slots, as many as there are: all slots of a new plan, or those that a placement in
//! force leaves.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::mem::take;
use std::ops::Range;

use crate::over_time::fleet::Fleet;
use crate::over_time::objective::{Cells, Objective, less, plus, share};
use crate::over_time::slot::EMPTY;

/// Gives each of these empty slots an expert that its GPU lacks. Experts without a replica get one,
/// and the other slots are given by Adams' method on `expected` loads; then the expert with the
/// heaviest replicas goes first, each replica to the GPU with room whose potential grows least (LPT
/// for vectors). Where all GPUs with room hold it already, an expert that came here makes room on
/// another GPU. If none can, the slot gets the expert with the heaviest replicas that its GPU lacks. Ties:
/// the lower index wins.
///
/// `room` is in order, and has at least as many slots in each zone as there are experts without a
/// replica. Takes fleets in which no GPU has more slots than its zone has experts.
/// Time O(slots * GPUs * rows).
pub(crate) fn complete<const N: usize>(
    fleet: &Fleet,
    objective: &Objective<N>,
    expected: impl Fn(u16) -> u64,
    zone_of_expert: &[u32],
    slots: &mut [u16],
    room: &[usize],
) {
    let mut placed = vec![0; fleet.experts()];
    for &expert in slots.iter().filter(|&&expert| expert != EMPTY) {
        placed[expert as usize] += 1;
    }
    for zone in 0..fleet.num_zones() {
        let experts: Vec<u16> = (0..fleet.experts() as u16)
            .filter(|&expert| zone_of_expert[expert as usize] as usize == zone)
            .collect();
        let mut rooms = vec![Vec::new(); fleet.gpus()];
        for &slot in room.iter().rev() {
            rooms[fleet.gpu_of(slot)].push(slot);
        }
        let rooms = &mut rooms[fleet.zone(zone)];
        let free = rooms.iter().map(Vec::len).sum();
        let replicas = adams(fleet, zone, &experts, &expected, &placed, free);
        let order = heaviest_first(&experts, &expected, &placed, &replicas);
        let whole = objective.shifted(objective.shift_of_shares(&replicas));
        let shares: Vec<Cells<N>> =
            whole.iter().zip(&replicas).map(|(whole, &count)| share(whole, count)).collect();
        let mut gpus: Vec<Filling<'_, N>> = fleet
            .zone(zone)
            .zip(rooms)
            .map(|(gpu, room)| Filling::new(fleet, gpu, take(room), slots, &shares))
            .collect();
        spread(&mut gpus, &shares, &order, &placed, slots);
        for gpu in &mut gpus {
            while gpu.has_room() {
                let lacking = experts.iter().copied().filter(|&expert| !gpu.holds(expert, slots));
                let loaded = lacking.map(|expert| {
                    let replicas = slots.iter().filter(|&&held| held == expert).count() as u32;
                    Loaded { load: expected(expert), replicas, expert }
                });
                let Some(Loaded { expert, .. }) = loaded.max() else { break };
                gpu.push(expert, &shares[expert as usize], slots);
            }
        }
    }
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

/// The replicas of the experts of a zone with `room` more of them by Adams' method: at least one of
/// each, and at most one for each of its GPUs that have slots. Experts of other zones have one.
fn adams(
    fleet: &Fleet,
    zone: usize,
    experts: &[u16],
    expected: impl Fn(u16) -> u64,
    placed: &[u32],
    room: usize,
) -> Vec<u32> {
    let most = fleet.zone(zone).filter(|&gpu| !fleet.slots(gpu).is_empty()).count() as u32;
    let mut replicas = vec![1; placed.len()];
    let mut room = room;
    for &expert in experts {
        let at = expert as usize;
        room -= usize::from(placed[at] == 0).min(room);
        replicas[at] = placed[at].max(1);
    }
    if room == 0 {
        return replicas; // as after a repair: nothing is to be known of the others
    }
    let loaded = |&expert: &u16| Loaded {
        load: expected(expert),
        replicas: replicas[expert as usize],
        expert,
    };
    let mut heap: BinaryHeap<Loaded> = experts.iter().map(loaded).collect();
    while room > 0 {
        let Some(mut heaviest) = heap.pop() else { break };
        // An expert that is on every GPU already leaves the heap.
        if heaviest.replicas < most {
            heaviest.replicas += 1;
            replicas[heaviest.expert as usize] += 1;
            room -= 1;
            heap.push(heaviest);
        }
    }
    replicas
}

/// Every expert that lacks replicas and how many, by load per replica.
fn heaviest_first(
    experts: &[u16],
    expected: impl Fn(u16) -> u64,
    placed: &[u32],
    replicas: &[u32],
) -> Vec<(u16, u32)> {
    let lacks = |&&expert: &&u16| replicas[expert as usize] > placed[expert as usize];
    let loaded = |&expert: &u16| Loaded {
        load: expected(expert),
        replicas: replicas[expert as usize],
        expert,
    };
    let mut order: Vec<Loaded> = experts.iter().filter(lacks).map(loaded).collect();
    order.sort_by(|a, b| b.cmp(a));
    let lacking = |Loaded { replicas, expert, .. }| (expert, replicas - placed[expert as usize]);
    order.into_iter().map(lacking).collect()
}

/// Places the replicas that lack in a zone.
fn spread<const N: usize>(
    gpus: &mut [Filling<'_, N>],
    shares: &[Cells<N>],
    order: &[(u16, u32)],
    placed: &[u32],
    slots: &mut [u16],
) {
    for &(expert, count) in order {
        let share = &shares[expert as usize];
        // Where replicas of this expert are: they come one after another.
        let is_new = placed[expert as usize] == 0;
        let holds = |gpu: &Filling<'_, N>| !is_new && gpu.holds(expert, slots);
        let mut holders: Vec<bool> = gpus.iter().map(holds).collect();
        for _ in 0..count {
            let fits = |&gpu: &usize| gpus[gpu].has_room() && !holders[gpu];
            let growth = |&gpu: &usize| gpus[gpu].growth(share);
            if let Some(gpu) = (0..gpus.len()).filter(fits).min_by_key(growth) {
                gpus[gpu].push(expert, share, slots);
                holders[gpu] = true;
                continue;
            }
            let Some((from, slot, to)) = make_room(gpus, &holders, slots) else { break };
            let moved = slots[slot];
            let moved_share = &shares[moved as usize];
            gpus[to].push(moved, moved_share, slots);
            slots[slot] = expert;
            let load = less(&plus(&gpus[from].load, share), moved_share);
            gpus[from].set_load(load);
            holders[from] = true;
        }
    }
}

/// A GPU that is being filled.
struct Filling<'a, const N: usize> {
    fleet: &'a Fleet,
    gpu: usize,
    slots: Range<usize>,
    /// Its slots that are to be filled, the next one last, and those that have been.
    room: Vec<usize>,
    filled: Vec<usize>,
    load: Cells<N>,
    potential: u64,
}

impl<'f, const N: usize> Filling<'f, N> {
    fn new(
        fleet: &'f Fleet,
        gpu: usize,
        room: Vec<usize>,
        placed: &[u16],
        shares: &[Cells<N>],
    ) -> Self {
        let slots = fleet.slots(gpu);
        let held = placed[slots.clone()].iter().filter(|&&expert| expert != EMPTY);
        let loads = held.map(|&expert| &shares[expert as usize]);
        let load = loads.fold([0; N], |load, share| plus(&load, share));
        let filled = Vec::new();
        let mut gpu = Self { fleet, gpu, slots, room, filled, load, potential: 0 };
        gpu.set_load(load);
        gpu
    }

    fn has_room(&self) -> bool {
        !self.room.is_empty()
    }

    fn growth(&self, share: &Cells<N>) -> u64 {
        self.potential_of(&plus(&self.load, share)) - self.potential
    }

    fn holds(&self, expert: u16, slots: &[u16]) -> bool {
        slots[self.slots.clone()].contains(&expert)
    }

    fn push(&mut self, expert: u16, share: &Cells<N>, slots: &mut [u16]) {
        if let Some(slot) = self.room.pop() {
            slots[slot] = expert;
            self.filled.push(slot);
            self.set_load(plus(&self.load, share));
        }
    }

    fn potential_of(&self, load: &Cells<N>) -> u64 {
        self.fleet.potential_of_any(self.gpu, load)
    }

    fn set_load(&mut self, load: Cells<N>) {
        self.load = load;
        self.potential = self.potential_of(&load);
    }
}

/// Every GPU with room holds the expert already: a GPU without it, a slot that was filled there with an
/// expert that can go to a GPU with room, and that GPU. On a new plan for equal GPUs there is one, for a
/// full GPU holds more experts than one with room.
fn make_room<const N: usize>(
    gpus: &[Filling<'_, N>],
    holders: &[bool],
    slots: &[u16],
) -> Option<(usize, usize, usize)> {
    let to = gpus.iter().position(Filling::has_room)?;
    let others = (0..gpus.len()).filter(|&gpu| !holders[gpu]);
    let mut found = others.filter_map(|from| {
        let moves = |slot: &&usize| !gpus[to].holds(slots[**slot], slots);
        gpus[from].filled.iter().find(moves).map(|&slot| (from, slot, to))
    });
    found.next()
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "one zone is one range")]
mod tests {
    use super::{adams, heaviest_first};
    use crate::over_time::fleet::Fleet;

    /// An expert gets a replica on each GPU at most, and what it cannot have goes to others.
    #[test]
    fn no_expert_has_more_replicas_than_gpus() {
        let fleet = Fleet::from_ranges(3, 1, vec![0..3, 3..6], vec![0..2]);
        let expected = |expert: u16| [100, 1, 1][expert as usize];
        assert_eq!(adams(&fleet, 0, &[0, 1, 2], expected, &[0; 3], 6), [2, 2, 2]);
        assert_eq!(adams(&fleet, 0, &[0, 1, 2], expected, &[0; 3], 4), [2, 1, 1]);
        assert_eq!(adams(&fleet, 0, &[0, 1, 2], expected, &[2, 1, 1], 1), [2, 2, 1]);
    }

    #[test]
    fn what_lacks_comes_by_load_per_replica() {
        let expected = |expert: u16| [90, 10, 40][expert as usize];
        assert_eq!(heaviest_first(&[0, 1, 2], expected, &[1, 1, 0], &[3, 1, 1]), [(2, 1), (0, 2)]);
    }
}
