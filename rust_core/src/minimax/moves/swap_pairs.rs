//! Swaps of pairs: two replicas of the busiest GPU for two of another GPU.

use crate::layout::Layout;
use crate::minimax::budget::MOST_SLOTS_FOR_PAIRS;
use crate::sorted_replicas::by_expert::ByExpert;

/// Finds them, in buffers that are reused.
#[derive(Debug, Default)]
pub(crate) struct SwapPairs {
    /// The pairs of each GPU whose replicas did not change since they were listed.
    pairs: Vec<Vec<Pair>>,
    heavy: Vec<Pair>,
    order: Vec<(u64, u32)>,
}

/// Load of two replicas of a GPU, and what names them.
pub(crate) type Pair = (u64, u32, u32);

impl SwapPairs {
    /// Begins with a layout of so many GPUs.
    pub(crate) fn start(&mut self, gpus: usize) {
        self.pairs.iter_mut().for_each(Vec::clear);
        self.pairs.resize_with(self.pairs.len().max(gpus), Vec::new);
    }

    /// Other replicas are on this GPU now.
    pub(crate) fn forget(&mut self, gpu: usize) {
        self.pairs[gpu].clear();
    }

    /// Looks for two replicas of the busiest GPU, `from`, and two of one of the `partners` lightest
    /// GPUs, whose swap brings `from` to `target` or nearer to it, and the other GPU not above it.
    /// Lighter GPUs and lighter pairs of `from` come first; the first swap that reaches the target is
    /// taken, else the one that takes most off. `work` counts the pairs listed and compared.
    pub(crate) fn find(
        &mut self,
        replicas: &ByExpert,
        layout: &Layout,
        from: usize,
        target: u64,
        partners: usize,
        work: &mut u64,
    ) -> Option<[(u32, u32); 2]> {
        if layout.per_gpu > MOST_SLOTS_FOR_PAIRS {
            return None;
        }
        let excess = layout.load[from] - target;
        let list = |gpu: usize, pairs: &mut Vec<Pair>| {
            if !pairs.is_empty() {
                return 0;
            }
            list_pairs(layout.on(gpu), |i| replicas.load(i), pairs);
            pairs.len() as u64
        };
        *work += list(from, &mut self.pairs[from]);
        self.heavy.clone_from(&self.pairs[from]);
        self.order.clear();
        self.order.extend(layout.load.iter().copied().zip(0..));
        if partners < self.order.len() {
            self.order.select_nth_unstable(partners);
            self.order.truncate(partners);
        }
        self.order.sort_unstable();
        let (mut best, mut best_drop) = (None, 0);
        for &(load, to) in &self.order {
            let Some(room) = target.checked_sub(load).filter(|&room| room > best_drop) else {
                break;
            };
            let to = to as usize;
            *work += list(to, &mut self.pairs[to]);
            let light = &self.pairs[to];
            let mut start = 0;
            for &(heavy, a, c) in &self.heavy {
                // Ascending sums on both sides: the least that drops by no more than the room.
                while light.get(start).is_some_and(|pair| pair.0 + room < heavy) {
                    start += 1;
                }
                *work += 1;
                for &(lighter, b, d) in &light[start..] {
                    if lighter + best_drop >= heavy {
                        break;
                    }
                    *work += 1;
                    let fits =
                        [(a, to), (c, to), (b, from), (d, from)].into_iter().all(|(i, gpu)| {
                            let replica = replicas.sorted[i as usize];
                            replica.count() == 1 || !layout.holds(gpu, replica)
                        });
                    if fits {
                        // Light sums ascend: what follows drops less.
                        (best, best_drop) = (Some([(a, b), (c, d)]), heavy - lighter);
                        break;
                    }
                }
                if best_drop >= excess {
                    return best;
                }
            }
        }
        best
    }
}

/// All pairs of the replicas `on` a GPU, by ascending load.
pub(crate) fn list_pairs(on: &[u32], load: impl Fn(u32) -> u64, pairs: &mut Vec<Pair>) {
    pairs.clear();
    for (i, &a) in on.iter().enumerate() {
        pairs.extend(on[i + 1..].iter().map(|&c| (load(a) + load(c), a, c)));
    }
    pairs.sort_unstable();
}
