//! The first layout: experts by the load of a copy, heaviest first, all copies of an expert at once
//! to the lightest GPUs that have room. So no GPU gets two of them.

use super::layout::{Layout, holds};
use super::replicas::{Replica, Replicas};
use crate::pack::Key;

/// Deals copies, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct Deal {
    narrow: Tournament<u64>,
    wide: Tournament<u128>,
}

impl Deal {
    /// Puts every copy on a GPU, and tells whether that is what greedy packing, which may put two
    /// copies of an expert on one GPU, would do too. There are no more copies of an expert than
    /// GPUs. Time O(copies * log GPUs) but for repairs.
    pub(super) fn deal(&mut self, replicas: &Replicas, gpus: usize, layout: &mut Layout) -> bool {
        layout.clear(gpus, replicas.sorted.len());
        let index_bits = gpus.next_power_of_two().trailing_zeros();
        let fullest: u64 =
            replicas.sorted[..layout.per_gpu].iter().map(|replica| replica.load).sum();
        if fullest < u64::MAX >> index_bits {
            self.narrow.play(replicas, index_bits, layout)
        } else {
            self.wide.play(replicas, index_bits, layout)
        }
    }
}

/// GPUs as leaves of a tree, each node the least of the keys below: the lightest GPU is at the
/// root. A key is a load above the index of its GPU; a full GPU has the largest.
#[derive(Debug, Default)]
struct Tournament<K> {
    tree: Vec<K>,
    filled: Vec<u32>,
    /// The keys of GPUs that have a copy of the expert at hand and would be next all the same.
    aside: Vec<K>,
}

impl<K: Key> Tournament<K> {
    fn play(&mut self, replicas: &Replicas, index_bits: u32, layout: &mut Layout) -> bool {
        let gpus = layout.load.len();
        let leaves = 1 << index_bits;
        self.filled.clear();
        self.filled.resize(gpus, 0);
        self.tree.clear();
        self.tree.resize(2 * leaves, K::FULL);
        for gpu in 0..gpus {
            self.tree[leaves + gpu] = K::from(gpu as u64);
        }
        for node in (1..leaves).rev() {
            self.tree[node] = self.tree[2 * node].min(self.tree[2 * node + 1]);
        }
        let mut greedy = true;
        let mut copy = 0;
        while let Some(&replica) = replicas.sorted.get(copy) {
            let load = K::from(replica.load) << index_bits;
            while copy < replica.end as usize && self.tree[1] != K::FULL {
                let key = self.tree[1];
                let gpu = key.low() & (leaves - 1);
                if self.has_just_taken(gpu, replica, layout) {
                    // No two copies of an expert: out of the way until all are dealt.
                    self.aside.push(key);
                    self.set(leaves + gpu, K::FULL);
                    continue;
                }
                self.place(copy, gpu, replicas, layout);
                let full = self.filled[gpu] as usize == layout.per_gpu;
                self.set(leaves + gpu, if full { K::FULL } else { key + load });
                copy += 1;
            }
            greedy &= self.aside.is_empty();
            while let Some(key) = self.aside.pop() {
                self.set(leaves + (key.low() & (leaves - 1)), key);
            }
            while copy < replica.end as usize {
                for gpu in self.repair(copy, replicas, layout) {
                    self.refresh(gpu, index_bits, layout);
                }
                copy += 1;
            }
        }
        greedy
    }

    /// Whether the last copy that a GPU took is of this expert.
    #[inline]
    fn has_just_taken(&self, gpu: usize, replica: Replica, layout: &Layout) -> bool {
        match self.filled[gpu] as usize {
            0 => false,
            filled => layout.slots[gpu * layout.per_gpu + filled - 1] >= replica.first,
        }
    }

    #[inline]
    fn place(&mut self, copy: usize, gpu: usize, replicas: &Replicas, layout: &mut Layout) {
        layout.slots[gpu * layout.per_gpu + self.filled[gpu] as usize] = copy as u32;
        layout.load[gpu] += replicas.sorted[copy].load;
        layout.home[copy] = gpu as u32;
        self.filled[gpu] += 1;
    }

    #[inline]
    fn set(&mut self, mut node: usize, mut key: K) {
        self.tree[node] = key;
        while node > 1 {
            key = key.min(self.tree[node ^ 1]);
            node /= 2;
            self.tree[node] = key;
        }
    }

    fn refresh(&mut self, gpu: usize, index_bits: u32, layout: &Layout) {
        let key = K::from(gpu as u64) + (K::from(layout.load[gpu]) << index_bits);
        let full = self.filled[gpu] as usize == layout.per_gpu;
        self.set((1 << index_bits) + gpu, if full { K::FULL } else { key });
    }

    /// Every GPU with room holds the expert of `copy` already: of a full GPU that does not, one copy
    /// moves to the lightest with room, and makes room. Of all such moves the one with the least
    /// larger load; ties: lower GPU, heavier copy. Returns the two GPUs.
    ///
    /// There is one: the full GPU holds as many experts as it has slots, the other fewer, and the
    /// expert of `copy` is among those of the other only.
    fn repair(&mut self, copy: usize, replicas: &Replicas, layout: &mut Layout) -> [usize; 2] {
        let per_gpu = layout.per_gpu;
        let replica = replicas.sorted[copy];
        let full = |gpu: usize| self.filled[gpu] as usize == per_gpu;
        let gpus = 0..layout.load.len();
        let roomy = gpus.clone().filter(|&gpu| !full(gpu)).min_by_key(|&gpu| layout.load[gpu]);
        let roomy = roomy.unwrap_or(0);
        let held = &layout.slots[roomy * per_gpu..][..self.filled[roomy] as usize];
        let donors = gpus.filter(|&gpu| full(gpu) && !layout.holds(gpu, replica));
        let moves = donors.flat_map(|gpu| layout.on(gpu).iter().map(move |&other| (gpu, other)));
        let (gpu, other) = moves
            .filter(|&(_, other)| !holds(held, replicas.sorted[other as usize]))
            .min_by_key(|&(gpu, other)| {
                let moved = replicas.sorted[other as usize].load;
                (layout.load[gpu] - moved + replica.load).max(layout.load[roomy] + moved)
            })
            .expect("a full GPU holds an expert that the other lacks");
        let slots = &mut layout.slots[gpu * per_gpu..][..per_gpu];
        let at = slots.partition_point(|&i| i < other);
        slots.copy_within(at + 1.., at);
        slots[per_gpu - 1] = copy as u32;
        layout.load[gpu] = layout.load[gpu] - replicas.sorted[other as usize].load + replica.load;
        layout.home[copy] = gpu as u32;
        self.place(other as usize, roomy, replicas, layout);
        layout.slots[roomy * per_gpu..][..self.filled[roomy] as usize].sort_unstable();
        [gpu, roomy]
    }
}
