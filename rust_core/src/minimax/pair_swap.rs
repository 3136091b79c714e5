//! Exchanges of two copies of the busiest GPU for two of another.

use super::layout::Layout;
use super::replicas::Replicas;

/// Finds them, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct PairSwap {
    heavy: Vec<Pair>,
    light: Vec<Pair>,
    order: Vec<(u64, u32)>,
}

/// With more slots a GPU there are so many single exchanges that pairs are not needed, and so many
/// pairs that listing them takes longer than all else.
const MOST_SLOTS: usize = 64;

/// Load of two copies of a GPU, and their indices.
type Pair = (u64, u32, u32);

impl PairSwap {
    /// Looks for two copies of the busiest GPU, `from`, and two of one of the `others` lightest
    /// GPUs, whose exchange brings `from` to `target` or nearer to it, and the other not above it.
    /// Lighter GPUs and lighter pairs of `from` come first; the first that reaches the target is
    /// taken, else what takes most off. `work` counts the pairs compared.
    pub(super) fn find(
        &mut self,
        replicas: &Replicas,
        layout: &Layout,
        from: usize,
        target: u64,
        others: usize,
        work: &mut u64,
    ) -> Option<[(u32, u32); 2]> {
        if layout.per_gpu > MOST_SLOTS {
            return None;
        }
        let excess = layout.load[from] - target;
        list_pairs(replicas, layout.on(from), &mut self.heavy);
        self.order.clear();
        self.order.extend(layout.load.iter().copied().zip(0..));
        if others < self.order.len() {
            self.order.select_nth_unstable(others);
            self.order.truncate(others);
        }
        self.order.sort_unstable();
        let (mut best, mut best_drop) = (None, 0);
        for &(load, to) in &self.order {
            let Some(room) = target.checked_sub(load).filter(|&room| room > best_drop) else {
                break;
            };
            let to = to as usize;
            list_pairs(replicas, layout.on(to), &mut self.light);
            let mut start = 0;
            for &(heavy, a, c) in &self.heavy {
                // Ascending sums on both sides: the least that drops by no more than the room.
                while self.light.get(start).is_some_and(|pair| pair.0 + room < heavy) {
                    start += 1;
                }
                *work += 1;
                for &(light, b, d) in &self.light[start..] {
                    if light + best_drop >= heavy {
                        break;
                    }
                    *work += 1;
                    let fits =
                        [(a, to), (c, to), (b, from), (d, from)].into_iter().all(|(i, gpu)| {
                            let replica = replicas.sorted[i as usize];
                            replica.copies() == 1 || !layout.holds(gpu, replica)
                        });
                    if fits {
                        // Light sums ascend: what follows drops less.
                        (best, best_drop) = (Some([(a, b), (c, d)]), heavy - light);
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

fn list_pairs(replicas: &Replicas, copies: &[u32], pairs: &mut Vec<Pair>) {
    pairs.clear();
    let load = |copy: u32| replicas.sorted[copy as usize].load;
    for (i, &a) in copies.iter().enumerate() {
        pairs.extend(copies[i + 1..].iter().map(|&c| (load(a) + load(c), a, c)));
    }
    pairs.sort_unstable();
}
