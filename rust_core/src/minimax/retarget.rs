//! Retargets: a copy of one expert becomes a copy of another, so that the busiest GPU, which holds
//! the other, carries a smaller share of it.

use super::layout::Layout;
use super::node::Placed;
use super::replicas::Replicas;
use crate::share::packing_load;

/// A copy to be given up, and the expert that its slot is for then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Retarget {
    /// The largest load of the GPUs that it changes.
    pub(super) peak: u64,
    /// Index of the copy.
    pub(super) copy: u32,
    /// Position of the expert.
    pub(super) receiver: u32,
}

/// Lists the retargets that help the busiest GPU, `from`: for each of its experts and each expert
/// with two copies or more, the copy on the GPU that this leaves least loaded. `load` has the
/// canonical loads by position. The one with the least peak comes first.
pub(super) fn list(
    replicas: &Replicas,
    layout: &Layout,
    load: &[u64],
    from: usize,
    retargets: &mut Vec<Retarget>,
    work: &mut u64,
) {
    retargets.clear();
    let gpus = layout.load.len();
    for &own in layout.on(from) {
        let receiver = replicas.sorted[own as usize];
        let position = replicas.position[own as usize];
        if receiver.copies() as usize == gpus {
            continue;
        }
        let copies = u64::from(receiver.copies());
        let less = packing_load(load[position as usize], copies + 1);
        let relief = receiver.load - less;
        let mut first = 0;
        while let Some(&donor) = replicas.sorted.get(first) {
            first = donor.end as usize;
            if donor.copies() == 1 || donor.first == receiver.first {
                continue;
            }
            let donor_load = load[replicas.position[donor.first as usize] as usize];
            let more = packing_load(donor_load, u64::from(donor.copies()) - 1) - donor.load;
            let homes = (donor.first..donor.end).map(|copy| layout.home[copy as usize] as usize);
            *work += u64::from(donor.copies());
            // What a GPU carries afterwards, if it keeps its copy of the donor, and if not.
            let kept = |gpu: usize| {
                let relieved = if layout.holds(gpu, receiver) { relief } else { 0 };
                layout.load[gpu] + more - relieved
            };
            let given = |gpu: usize| layout.load[gpu] - donor.load + less;
            for (copy, home) in (donor.first..).zip(homes.clone()) {
                if layout.holds(home, receiver) {
                    continue;
                }
                let others = homes.clone().filter(|&gpu| gpu != home).map(kept);
                let peak = others.chain([given(home)]).max().unwrap_or(0);
                let relieved = layout.load[from] - relief;
                let of_from = if layout.holds(from, donor) { 0 } else { relieved };
                retargets.push(Retarget { peak: peak.max(of_from), copy, receiver: position });
            }
        }
    }
    retargets.sort_unstable();
}

/// Places in `after` what `before` has, with a retarget done. `counts` is a buffer.
pub(super) fn apply(
    retarget: Retarget,
    load: &[u64],
    before: &Placed,
    after: &mut Placed,
    counts: &mut Vec<u32>,
) {
    let old = &before.replicas;
    let donor = old.sorted[retarget.copy as usize];
    let receiver = retarget.receiver as usize;
    // Copies of each expert, and the index of the first one.
    counts.clear();
    counts.resize(load.len(), 0);
    let mut first = vec![0; load.len()];
    for (&replica, &position) in old.sorted.iter().zip(&old.position) {
        counts[position as usize] = replica.copies();
        first[position as usize] = replica.first;
    }
    counts[receiver] += 1;
    counts[old.position[retarget.copy as usize] as usize] -= 1;
    let singles = counts.iter().rev().take_while(|&&count| count == 1).count();
    counts.truncate(load.len() - singles);
    after.replicas.collect(load, counts);
    let Placed { replicas, layout, peak } = after;
    layout.clear(before.layout.load.len(), old.sorted.len());
    let mut filled = vec![0; layout.load.len()];
    for (copy, (&replica, &position)) in
        replicas.sorted.iter().zip(&replicas.position).enumerate()
    {
        let rank = copy as u32 - replica.first;
        let mut was = first[position as usize] + rank;
        if position as usize == receiver && rank + 1 == replica.copies() {
            was = retarget.copy;
        } else if first[position as usize] == donor.first && was >= retarget.copy {
            was += 1;
        }
        let gpu = before.layout.home[was as usize] as usize;
        layout.home[copy] = gpu as u32;
        layout.slots[gpu * layout.per_gpu + filled[gpu]] = copy as u32;
        filled[gpu] += 1;
        layout.load[gpu] += replica.load;
    }
    *peak = layout.peak();
}
