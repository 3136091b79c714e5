//! Greedy packing without duplicates: experts by the load of a replica, heaviest first, all replicas of
//! an expert at once to the lightest GPUs that have room. So no GPU gets two of them.

use crate::kernel::tournament::{Bins, Trees, with_bins};
use crate::layout::{Layout, holds};
use crate::sorted_replicas::by_expert::{ByExpert, Replica};

/// Places replicas, in buffers that are reused.
#[derive(Debug, Default)]
pub(crate) struct DistinctGreedy {
    trees: Trees,
    gpus: Vec<Gpu>,
}

impl DistinctGreedy {
    /// Puts every replica on a GPU, and tells whether [`super::Greedy`], which may put two replicas of
    /// an expert on one GPU, would do the same. An expert has at most as many replicas as there are
    /// GPUs. Time O(replicas * log GPUs), and O(slots * slots of a GPU) for each repair.
    pub(crate) fn place(&mut self, replicas: &ByExpert, gpus: usize, layout: &mut Layout) -> bool {
        layout.clear(gpus, replicas.sorted.len());
        let firsts = (0..replicas.sorted.len() as u32).step_by(layout.per_gpu);
        let empty = |next| Gpu { load: 0, next, end: next + layout.per_gpu as u32, taken: 0 };
        self.gpus.clear();
        self.gpus.extend(firsts.map(empty));
        let heaviest = &replicas.sorted[..layout.per_gpu];
        let fullest: u64 = heaviest.iter().map(|replica| replica.load).sum();
        let as_lpt = with_bins!([&mut self.trees], gpus, fullest, bins => {
            let [bins] = bins;
            place(bins, &mut self.gpus, replicas, layout)
        });
        for (load, gpu) in layout.load.iter_mut().zip(&self.gpus) {
            *load = gpu.load;
        }
        as_lpt
    }
}

#[inline]
fn place<B: Bins + ?Sized>(
    bins: &mut B,
    gpus: &mut [Gpu],
    replicas: &ByExpert,
    layout: &mut Layout,
) -> bool {
    let mut as_lpt = true;
    // GPUs that hold the expert at hand, and would be next all the same.
    let mut aside = Vec::new();
    let mut next = 0;
    while let Some(&replica) = replicas.sorted.get(next as usize) {
        while next < replica.end && !bins.all_closed() {
            let lightest = bins.lightest();
            let gpu = &mut gpus[lightest];
            if gpu.taken > replica.first {
                // Closed until all replicas of the expert are placed.
                aside.push(lightest);
                bins.close(lightest);
                continue;
            }
            layout.home[next as usize] = lightest as u32;
            gpu.take(next, replica, layout);
            bins.add_to_lightest(lightest, replica.load, gpu.full());
            next += 1;
        }
        as_lpt &= aside.is_empty();
        while let Some(gpu) = aside.pop() {
            bins.open(gpu, gpus[gpu].load);
        }
        while next < replica.end {
            for gpu in repair(gpus, next, replicas, layout) {
                if gpus[gpu].full() {
                    bins.close(gpu);
                } else {
                    bins.open(gpu, gpus[gpu].load);
                }
            }
            next += 1;
        }
    }
    as_lpt
}

/// A GPU while replicas are placed.
#[derive(Debug, Clone, Copy)]
struct Gpu {
    load: u64,
    /// Its next free slot, and one past its last.
    next: u32,
    end: u32,
    /// One past the last replica that it took.
    taken: u32,
}

impl Gpu {
    #[inline]
    fn full(&self) -> bool {
        self.next == self.end
    }

    #[inline]
    fn take(&mut self, index: u32, replica: Replica, layout: &mut Layout) {
        layout.slots[self.next as usize] = index;
        self.load += replica.load;
        self.next += 1;
        self.taken = index + 1;
    }
}

/// Places replica `index`, if every GPU with room holds its expert already: a full GPU that does not
/// hold it gives one replica to the lightest GPU with room, and takes this one. Of all such moves the
/// one whose heavier GPU is lightest; ties: the lower GPU, the heavier replica. Returns the two GPUs.
///
/// There is such a move: the full GPU holds as many experts as it has slots, the other one fewer, and
/// only the other one holds the expert.
fn repair(gpus: &mut [Gpu], index: u32, replicas: &ByExpert, layout: &mut Layout) -> [usize; 2] {
    let per_gpu = layout.per_gpu;
    let replica = replicas.sorted[index as usize];
    let roomy = (0..gpus.len()).filter(|&gpu| !gpus[gpu].full()).min_by_key(|&gpu| gpus[gpu].load);
    let roomy = roomy.unwrap_or(0);
    let held = &layout.slots[roomy * per_gpu..gpus[roomy].next as usize];
    let donors = (0..gpus.len()).filter(|&gpu| gpus[gpu].full() && !layout.holds(gpu, replica));
    let moves = donors.flat_map(|gpu| layout.on(gpu).iter().map(move |&moved| (gpu, moved)));
    let (donor, moved) = moves
        .filter(|&(_, moved)| !holds(held, replicas.sorted[moved as usize]))
        .min_by_key(|&(donor, moved)| {
            let moved = replicas.load(moved);
            (gpus[donor].load - moved + replica.load).max(gpus[roomy].load + moved)
        })
        .expect("a full GPU holds an expert that the other one lacks");
    let slots = &mut layout.slots[donor * per_gpu..][..per_gpu];
    let at = slots.partition_point(|&other| other < moved);
    slots.copy_within(at + 1.., at);
    slots[per_gpu - 1] = index;
    gpus[donor].load = gpus[donor].load - replicas.load(moved) + replica.load;
    layout.home[index as usize] = donor as u32;
    gpus[roomy].take(moved, replicas.sorted[moved as usize], layout);
    layout.home[moved as usize] = roomy as u32;
    layout.slots[roomy * per_gpu..gpus[roomy].next as usize].sort_unstable();
    [donor, roomy]
}
