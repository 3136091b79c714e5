//! The swap refinement of `adaptive`: exchanges between the heaviest and the lightest bin.

use crate::kernel::probe::{Peak, Probe, Step};
use crate::sorted_replicas::by_slot::Item;

/// Exchanges items between bins, in buffers that are reused.
#[derive(Debug, Default)]
pub(crate) struct Refinement {
    loads: Vec<u64>,
    /// (slot, load, place) of the heavy bin's items, by slot.
    heavy: Vec<(u32, u64, u32)>,
    /// (load, slot, place) of the light bin's items, by load, ties by slot.
    light: Vec<(u64, u32, u32)>,
}

impl Refinement {
    /// Makes up to `steps` exchanges, one more if the bins are uneven; each strictly lowers
    /// the heavy bin and leaves no bin above its old load. `placed` has the item at each place,
    /// bin after bin, by rank in the bin. Time O(items + steps * k log k) for k items per bin.
    pub(crate) fn refine(
        &mut self,
        items: &[Item],
        bins: usize,
        steps: usize,
        placed: &mut [u32],
        probe: &mut impl Probe,
    ) {
        let per_bin = items.len() / bins;
        let bin_load = |bin: &[u32]| bin.iter().map(|&i| items[i as usize].load).sum::<u64>();
        self.loads.clear();
        self.loads.extend(placed.chunks_exact(per_bin).map(bin_load));
        probe.step(Step::Packed, || self.peak());
        let steps = steps + usize::from(self.uneven());
        for _ in 0..steps {
            let (heavy, light) = self.extremes();
            let difference = self.loads[heavy] - self.loads[light];
            if difference == 0 {
                return;
            }
            self.list_candidates(items, per_bin, heavy, light, placed);
            let Some((place_heavy, place_light)) = self.best_exchange(difference) else {
                return;
            };
            let (item_heavy, item_light) = (placed[place_heavy], placed[place_light]);
            let moved = items[item_heavy as usize].load - items[item_light as usize].load;
            self.loads[heavy] -= moved;
            self.loads[light] += moved;
            let (rank_heavy, rank_light) = (place_heavy % per_bin, place_light % per_bin);
            let heavy = &mut placed[heavy * per_bin..][..per_bin];
            exchange(items, heavy, rank_heavy, item_light, rank_light);
            let light = &mut placed[light * per_bin..][..per_bin];
            exchange(items, light, rank_light, item_heavy, rank_heavy);
            probe.step(Step::Swap, || self.peak());
        }
    }

    fn peak(&self) -> Peak {
        Peak::of_bins(self.loads[self.extremes().0])
    }

    /// Whether (max - min) / mean > 0.03: one more step is allowed.
    fn uneven(&self) -> bool {
        let total: u64 = self.loads.iter().sum();
        let (heavy, light) = self.extremes();
        let spread = self.loads[heavy] - self.loads[light];
        total > 0 && spread > 3 * total / (100 * self.loads.len() as u64)
    }

    /// The heaviest and the lightest bin; ties: the lower bin.
    fn extremes(&self) -> (usize, usize) {
        let (mut heavy, mut light) = (0, 0);
        for (bin, &load) in self.loads.iter().enumerate() {
            if load > self.loads[heavy] {
                heavy = bin;
            }
            if load < self.loads[light] {
                light = bin;
            }
        }
        (heavy, light)
    }

    fn list_candidates(
        &mut self,
        items: &[Item],
        per_bin: usize,
        heavy: usize,
        light: usize,
        placed: &[u32],
    ) {
        let places = |bin: usize| (bin * per_bin) as u32..((bin + 1) * per_bin) as u32;
        let item = |place: u32| &items[placed[place as usize] as usize];
        self.heavy.clear();
        self.heavy.extend(places(heavy).map(|place| (item(place).slot, item(place).load, place)));
        self.heavy.sort_unstable();
        self.light.clear();
        self.light.extend(places(light).map(|place| (item(place).load, item(place).slot, place)));
        self.light.sort_unstable();
    }

    /// The exchange that leaves the two bins closest together, as (heavy place, light place), if
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

/// Takes the item of rank `out` out of a bin and puts `item` in, which comes with a `rank` from
/// its old bin: the bin stays ordered by these ranks, ties by slot, and is numbered anew.
fn exchange(items: &[Item], bin: &mut [u32], out: usize, item: u32, rank: usize) {
    let slot = |i: u32| items[i as usize].slot;
    // The one other item that came with `rank` ends up beside the new one.
    if out < rank {
        bin[out..=rank].rotate_left(1);
        bin[rank] = item;
        if slot(item) < slot(bin[rank - 1]) {
            bin.swap(rank - 1, rank);
        }
    } else {
        bin[rank..=out].rotate_right(1);
        bin[rank] = item;
        if rank < out && slot(bin[rank + 1]) < slot(item) {
            bin.swap(rank, rank + 1);
        }
    }
}
