//! Retargets: a copy of one expert becomes a copy of another, so that the busiest GPU, which holds
//! the other, carries a smaller share of it.

use super::layout::Layout;
use super::node::Placed;
use super::replicas::Replicas;
use crate::problem::share::packing_load;

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

/// Lists the best `wanted` retargets for the busiest GPU, `from`, the one that leaves the least peak
/// first: a copy anywhere for one more of an expert on `from`, or a copy on `from` for one more of
/// any expert. `load` has the canonical loads by position.
pub(super) fn list(
    replicas: &Replicas,
    layout: &Layout,
    load: &[u64],
    from: usize,
    wanted: usize,
    retargets: &mut Vec<Retarget>,
) {
    retargets.clear();
    let gpus = layout.load.len() as u32;
    let experts = || {
        let firsts = replicas.sorted.iter().enumerate();
        firsts.filter(|(i, replica)| replica.first as usize == *i).map(|(_, replica)| *replica)
    };
    for receiver in experts().filter(|receiver| receiver.copies() < gpus) {
        let position = replicas.position[receiver.first as usize];
        let less = packing_load(load[position as usize], u64::from(receiver.copies()) + 1);
        let on_from = layout.holds(from, receiver);
        let relief = |gpu: usize| {
            if layout.holds(gpu, receiver) { receiver.load - less } else { 0 }
        };
        let donors = experts().filter(|donor| {
            donor.copies() > 1
                && donor.first != receiver.first
                && (on_from || layout.holds(from, *donor))
        });
        for donor in donors {
            let donor_load = load[replicas.position[donor.first as usize] as usize];
            let more = packing_load(donor_load, u64::from(donor.copies()) - 1) - donor.load;
            let home = |copy: u32| layout.home[copy as usize] as usize;
            let gives = (donor.first..donor.end).filter(|&copy| {
                (on_from || home(copy) == from) && !layout.holds(home(copy), receiver)
            });
            for copy in gives {
                let others = (donor.first..donor.end).filter(|&other| other != copy).map(home);
                let kept = others.map(|gpu| layout.load[gpu] + more - relief(gpu));
                let given = layout.load[home(copy)] - donor.load + less;
                let mut peak = kept.fold(given, u64::max);
                if on_from && !layout.holds(from, donor) {
                    peak = peak.max(layout.load[from] - relief(from));
                }
                retargets.push(Retarget { peak, copy, receiver: position });
            }
        }
    }
    if wanted < retargets.len() {
        retargets.select_nth_unstable(wanted);
        retargets.truncate(wanted);
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
    for (copy, (&replica, &position)) in replicas.sorted.iter().zip(&replicas.position).enumerate()
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
