//! The seed's swap refinement: exchanges between the heaviest and the lightest pack.

use crate::kernel::probe::{Peak, Step, Trace};
use crate::replicas::Item;

/// Exchanges items between packs, in buffers that are reused.
#[derive(Debug, Default)]
pub(crate) struct Refinement {
    loads: Vec<u64>,
    /// (slot, load, place) of the heavy pack's items, by slot.
    heavy: Vec<(u32, u64, u32)>,
    /// (load, slot, place) of the light pack's items, by load, ties by slot.
    light: Vec<(u64, u32, u32)>,
}

impl Refinement {
    /// Makes up to `steps` exchanges, one more where the packs are uneven; each strictly lowers
    /// the heavy pack and leaves no pack above its old load. `placed` is as [`crate::pack`] leaves
    /// it. Time O(items + steps * k log k) for k items a pack.
    pub(crate) fn refine(
        &mut self,
        items: &[Item],
        packs: usize,
        steps: usize,
        placed: &mut [u32],
        trace: &mut impl Trace,
    ) {
        let per_pack = items.len() / packs;
        let pack_load = |pack: &[u32]| pack.iter().map(|&i| items[i as usize].load).sum::<u64>();
        self.loads.clear();
        self.loads.extend(placed.chunks_exact(per_pack).map(pack_load));
        trace.step(Step::Deal, || self.peak());
        let steps = steps + usize::from(self.uneven());
        for _ in 0..steps {
            let (heavy, light) = self.extremes();
            let difference = self.loads[heavy] - self.loads[light];
            if difference == 0 {
                return;
            }
            self.list_candidates(items, per_pack, heavy, light, placed);
            let Some((place_heavy, place_light)) = self.best_exchange(difference) else {
                return;
            };
            let (item_heavy, item_light) = (placed[place_heavy], placed[place_light]);
            let moved = items[item_heavy as usize].load - items[item_light as usize].load;
            self.loads[heavy] -= moved;
            self.loads[light] += moved;
            let (rank_heavy, rank_light) = (place_heavy % per_pack, place_light % per_pack);
            let heavy = &mut placed[heavy * per_pack..][..per_pack];
            exchange(items, heavy, rank_heavy, item_light, rank_light);
            let light = &mut placed[light * per_pack..][..per_pack];
            exchange(items, light, rank_light, item_heavy, rank_heavy);
            trace.step(Step::Swap, || self.peak());
        }
    }

    fn peak(&self) -> Peak {
        Peak::of_packs(self.loads[self.extremes().0])
    }

    /// Whether (max - min) / mean > 0.03: one more step is allowed.
    fn uneven(&self) -> bool {
        let total: u64 = self.loads.iter().sum();
        let (heavy, light) = self.extremes();
        let spread = self.loads[heavy] - self.loads[light];
        total > 0 && spread > 3 * total / (100 * self.loads.len() as u64)
    }

    /// The heaviest and the lightest pack; ties: the lower pack.
    fn extremes(&self) -> (usize, usize) {
        let (mut heavy, mut light) = (0, 0);
        for (pack, &load) in self.loads.iter().enumerate() {
            if load > self.loads[heavy] {
                heavy = pack;
            }
            if load < self.loads[light] {
                light = pack;
            }
        }
        (heavy, light)
    }

    fn list_candidates(
        &mut self,
        items: &[Item],
        per_pack: usize,
        heavy: usize,
        light: usize,
        placed: &[u32],
    ) {
        let places = |pack: usize| (pack * per_pack) as u32..((pack + 1) * per_pack) as u32;
        let item = |place: u32| &items[placed[place as usize] as usize];
        self.heavy.clear();
        self.heavy.extend(places(heavy).map(|place| (item(place).slot, item(place).load, place)));
        self.heavy.sort_unstable();
        self.light.clear();
        self.light.extend(places(light).map(|place| (item(place).load, item(place).slot, place)));
        self.light.sort_unstable();
    }

    /// The exchange that leaves the two packs closest together, as (heavy place, light place), if
    /// it brings them closer at all; ties: the first heavy item, then the heavier light one.
    fn best_exchange(&self, difference: u64) -> Option<(usize, usize)> {
        let difference = difference as i64;
        let mut best = (difference, None);
        for &(_, load, heavy) in &self.heavy {
            let load = load as i64;
            let target = 2 * load - difference;
            let above = self.light.partition_point(|&(light, _, _)| 2 * (light as i64) < target);
            let above = above.min(self.light.len() - 1);
            for position in [above, above.saturating_sub(1)] {
                let (light_load, _, light) = self.light[position];
                let residual = (difference - 2 * (load - light_load as i64)).abs();
                if residual < best.0 {
                    best = (residual, Some((heavy as usize, light as usize)));
                }
            }
        }
        best.1
    }
}

/// Takes the item of rank `out` out of a pack and puts `item` in, which comes with a `rank` from
/// its old pack: the pack stays ordered by these ranks, ties by slot, and is numbered anew.
fn exchange(items: &[Item], pack: &mut [u32], out: usize, item: u32, rank: usize) {
    let slot = |i: u32| items[i as usize].slot;
    // The one other item that came with `rank` ends up beside the new one.
    if out < rank {
        pack[out..=rank].rotate_left(1);
        pack[rank] = item;
        if slot(item) < slot(pack[rank - 1]) {
            pack.swap(rank - 1, rank);
        }
    } else {
        pack[rank..=out].rotate_right(1);
        pack[rank] = item;
        if rank < out && slot(pack[rank + 1]) < slot(item) {
            pack.swap(rank, rank + 1);
        }
    }
}
