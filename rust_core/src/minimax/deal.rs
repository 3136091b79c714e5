//! The first layout: experts by the load of a copy, heaviest first, all copies of an expert at once
//! to the lightest GPUs that have room. So no GPU gets two of them.

use super::layout::{Layout, holds};
use super::replicas::{Replica, Replicas};
use crate::pack::{Key, Tree, by_size, start};

/// Deals copies, in buffers that are reused. GPUs are the leaves of a tournament, as packs are in
/// [`crate::pack`].
#[derive(Debug, Default)]
pub(super) struct Deal {
    narrow: Vec<u64>,
    wide: Vec<u128>,
    filled: Vec<u32>,
}

impl Deal {
    /// Puts every copy on a GPU, and tells whether that is what greedy packing, which may put two
    /// copies of an expert on one GPU, would do too. There are no more copies of an expert than
    /// GPUs. Time O(copies * log GPUs) but for repairs.
    pub(super) fn deal(&mut self, replicas: &Replicas, gpus: usize, layout: &mut Layout) -> bool {
        layout.clear(gpus, replicas.sorted.len());
        self.filled.clear();
        self.filled.resize(gpus, 0);
        let filled = Filled(&mut self.filled);
        let index_bits = gpus.next_power_of_two().trailing_zeros();
        let fullest: u64 =
            replicas.sorted[..layout.per_gpu].iter().map(|replica| replica.load).sum();
        if fullest < u64::MAX >> index_bits {
            let tree = start(&mut self.narrow, gpus, index_bits);
            by_size!(tree => play(tree, filled, replicas, layout))
        } else {
            let tree = start(&mut self.wide, gpus, index_bits);
            by_size!(tree => play(tree, filled, replicas, layout))
        }
    }
}

#[inline]
fn play<K: Key, T: Tree<K> + ?Sized>(
    tree: &mut T,
    mut filled: Filled<'_>,
    replicas: &Replicas,
    layout: &mut Layout,
) -> bool {
    let mut greedy = true;
    // The keys of GPUs that have a copy of the expert at hand and would be next all the same.
    let mut aside = Vec::new();
    let mut copy = 0;
    while let Some(&replica) = replicas.sorted.get(copy) {
        let load = K::from(replica.load) << tree.index_bits();
        while copy < replica.end as usize && tree.root() != K::FULL {
            let key = tree.root();
            let gpu = tree.leaf(key);
            if filled.has_just_taken(gpu, replica, layout) {
                // No two copies of an expert: out of the way until all are dealt.
                aside.push(key);
                tree.set(gpu, K::FULL);
                continue;
            }
            filled.place(copy, gpu, replicas, layout);
            tree.set(gpu, if filled.full(gpu, layout) { K::FULL } else { key + load });
            copy += 1;
        }
        greedy &= aside.is_empty();
        while let Some(key) = aside.pop() {
            tree.set(tree.leaf(key), key);
        }
        while copy < replica.end as usize {
            for gpu in filled.repair(copy, replicas, layout) {
                let key = K::from(gpu as u64) + (K::from(layout.load[gpu]) << tree.index_bits());
                tree.set(gpu, if filled.full(gpu, layout) { K::FULL } else { key });
            }
            copy += 1;
        }
    }
    greedy
}

/// Copies on each GPU.
struct Filled<'a>(&'a mut [u32]);

impl Filled<'_> {
    #[inline]
    fn full(&self, gpu: usize, layout: &Layout) -> bool {
        self.0[gpu] as usize == layout.per_gpu
    }

    /// Whether the last copy that a GPU took is of this expert.
    #[inline]
    fn has_just_taken(&self, gpu: usize, replica: Replica, layout: &Layout) -> bool {
        match self.0[gpu] as usize {
            0 => false,
            filled => layout.slots[gpu * layout.per_gpu + filled - 1] >= replica.first,
        }
    }

    #[inline]
    fn place(&mut self, copy: usize, gpu: usize, replicas: &Replicas, layout: &mut Layout) {
        layout.slots[gpu * layout.per_gpu + self.0[gpu] as usize] = copy as u32;
        layout.load[gpu] += replicas.sorted[copy].load;
        layout.home[copy] = gpu as u32;
        self.0[gpu] += 1;
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
        let full = |gpu: usize| self.full(gpu, layout);
        let gpus = 0..layout.load.len();
        let roomy = gpus.clone().filter(|&gpu| !full(gpu)).min_by_key(|&gpu| layout.load[gpu]);
        let roomy = roomy.unwrap_or(0);
        let held = &layout.slots[roomy * per_gpu..][..self.0[roomy] as usize];
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
        layout.slots[roomy * per_gpu..][..self.0[roomy] as usize].sort_unstable();
        [gpu, roomy]
    }
}
