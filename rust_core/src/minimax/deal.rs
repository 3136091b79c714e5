//! The first layout: experts by the load of a copy, heaviest first, all copies of an expert at once
//! to the lightest GPUs that have room. So no GPU gets two of them.

use super::layout::{Layout, holds};
use super::replicas::{Replica, Replicas};
use crate::kernel::tournament::{Key, Tree, Trees, with_trees};

/// Deals copies, in buffers that are reused. GPUs are the leaves of a tournament, as packs are in
/// [`crate::pack`].
#[derive(Debug, Default)]
pub(super) struct Deal {
    trees: Trees,
    gpus: Vec<Gpu>,
}

impl Deal {
    /// Puts every copy on a GPU, and tells whether that is what greedy packing, which may put two
    /// copies of an expert on one GPU, would do too. There are no more copies of an expert than
    /// GPUs. Time O(copies * log GPUs) but for repairs.
    pub(super) fn deal(&mut self, replicas: &Replicas, gpus: usize, layout: &mut Layout) -> bool {
        layout.clear(gpus, replicas.sorted.len());
        let firsts = (0..replicas.sorted.len() as u32).step_by(layout.per_gpu);
        let empty = |next| Gpu { load: 0, next, end: next + layout.per_gpu as u32, taken: 0 };
        self.gpus.clear();
        self.gpus.extend(firsts.map(empty));
        let fullest: u64 =
            replicas.sorted[..layout.per_gpu].iter().map(|replica| replica.load).sum();
        with_trees!([&mut self.trees], gpus, fullest, trees => {
            let [tree] = trees;
            play(tree, &mut self.gpus, replicas, layout)
        })
    }
}

#[inline]
fn play<K: Key, T: Tree<K> + ?Sized>(
    tree: &mut T,
    gpus: &mut [Gpu],
    replicas: &Replicas,
    layout: &mut Layout,
) -> bool {
    let mut greedy = true;
    // The keys of GPUs that have a copy of the expert at hand and would be next all the same.
    let mut aside = Vec::new();
    let mut copy = 0;
    while let Some(&replica) = replicas.sorted.get(copy as usize) {
        let load = K::from(replica.load) << tree.index_bits();
        while copy < replica.end && tree.root() != K::FULL {
            let key = tree.root();
            let leaf = tree.leaf(key);
            let gpu = &mut gpus[leaf];
            if gpu.taken > replica.first {
                // No two copies of an expert: out of the way until all are dealt.
                aside.push(key);
                tree.set(leaf, K::FULL);
                continue;
            }
            layout.home[copy as usize] = leaf as u32;
            gpu.take(copy, replica, layout);
            tree.set(leaf, if gpu.full() { K::FULL } else { key + load });
            copy += 1;
        }
        greedy &= aside.is_empty();
        while let Some(key) = aside.pop() {
            tree.set(tree.leaf(key), key);
        }
        while copy < replica.end {
            for leaf in repair(gpus, copy, replicas, layout) {
                let key = K::from(leaf as u64) + (K::from(gpus[leaf].load) << tree.index_bits());
                tree.set(leaf, if gpus[leaf].full() { K::FULL } else { key });
            }
            copy += 1;
        }
    }
    for (load, gpu) in layout.load.iter_mut().zip(gpus) {
        *load = gpu.load;
    }
    greedy
}

/// A GPU while copies are dealt.
#[derive(Debug, Clone, Copy)]
struct Gpu {
    load: u64,
    /// Its next free slot, and one past its last.
    next: u32,
    end: u32,
    /// One past the last copy that it took.
    taken: u32,
}

impl Gpu {
    #[inline]
    fn full(&self) -> bool {
        self.next == self.end
    }

    #[inline]
    fn take(&mut self, copy: u32, replica: Replica, layout: &mut Layout) {
        layout.slots[self.next as usize] = copy;
        self.load += replica.load;
        self.next += 1;
        self.taken = copy + 1;
    }
}

/// Every GPU with room holds the expert of `copy` already: of a full GPU that does not, one copy
/// moves to the lightest with room, and makes room. Of all such moves the one with the least
/// larger load; ties: lower GPU, heavier copy. Returns the two GPUs.
///
/// There is one: the full GPU holds as many experts as it has slots, the other fewer, and the
/// expert of `copy` is among those of the other only.
fn repair(gpus: &mut [Gpu], copy: u32, replicas: &Replicas, layout: &mut Layout) -> [usize; 2] {
    let per_gpu = layout.per_gpu;
    let replica = replicas.sorted[copy as usize];
    let roomy = (0..gpus.len()).filter(|&gpu| !gpus[gpu].full()).min_by_key(|&gpu| gpus[gpu].load);
    let roomy = roomy.unwrap_or(0);
    let held = &layout.slots[roomy * per_gpu..gpus[roomy].next as usize];
    let donors = (0..gpus.len()).filter(|&gpu| gpus[gpu].full() && !layout.holds(gpu, replica));
    let moves = donors.flat_map(|gpu| layout.on(gpu).iter().map(move |&other| (gpu, other)));
    let (gpu, other) = moves
        .filter(|&(_, other)| !holds(held, replicas.sorted[other as usize]))
        .min_by_key(|&(gpu, other)| {
            let moved = replicas.load(other);
            (gpus[gpu].load - moved + replica.load).max(gpus[roomy].load + moved)
        })
        .expect("a full GPU holds an expert that the other lacks");
    let slots = &mut layout.slots[gpu * per_gpu..][..per_gpu];
    let at = slots.partition_point(|&i| i < other);
    slots.copy_within(at + 1.., at);
    slots[per_gpu - 1] = copy;
    gpus[gpu].load = gpus[gpu].load - replicas.load(other) + replica.load;
    layout.home[copy as usize] = gpu as u32;
    gpus[roomy].take(other, replicas.sorted[other as usize], layout);
    layout.home[other as usize] = roomy as u32;
    layout.slots[roomy * per_gpu..gpus[roomy].next as usize].sort_unstable();
    [gpu, roomy]
}
