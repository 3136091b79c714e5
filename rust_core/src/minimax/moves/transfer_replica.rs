//! Transferred replicas: the slot of a replica of one expert, the donor, gets a replica of another, the
//! receiver, so that the busiest GPU carries a smaller share of the receiver, or loses the donor.

use crate::minimax::candidate::Candidate;
use crate::problem::share::packing_load;
use crate::sorted_replicas::by_expert::{ByExpert, Replica};

/// A replica to give up, and the expert that gets its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Transfer {
    /// The largest load of the GPUs whose load may rise, and of the busiest one before.
    pub(crate) peak: u64,
    /// Index of the replica.
    pub(crate) replica: u32,
    /// Position of the expert.
    pub(crate) receiver: u32,
}

/// Lists the best `wanted` transfers for the busiest GPU, `from`; the one that leaves the least peak
/// comes first. Either the receiver is on `from`, or the donor's replica. `load` has the canonical loads
/// by position.
pub(crate) fn list(
    candidate: &Candidate,
    load: &[u64],
    from: usize,
    wanted: usize,
    transfers: &mut Vec<Transfer>,
) {
    transfers.clear();
    let Candidate { replicas, layout, .. } = candidate;
    let gpus = layout.load.len() as u32;
    let donors: Vec<Replica> = experts(replicas).filter(|donor| donor.count() > 1).collect();
    let on_from = donors.iter().copied().filter(|donor| layout.holds(from, *donor));
    let donors_on_from: Vec<Replica> = on_from.collect();
    for receiver in experts(replicas).filter(|receiver| receiver.count() < gpus) {
        let on_from = layout.holds(from, receiver);
        let donors = if on_from { &donors } else { &donors_on_from };
        list_for(receiver, on_from, donors, candidate, load, from, transfers);
    }
    if wanted < transfers.len() {
        transfers.select_nth_unstable(wanted);
        transfers.truncate(wanted);
    }
    transfers.sort_unstable();
}

/// The first replica of each expert.
fn experts(replicas: &ByExpert) -> impl Iterator<Item = Replica> {
    let all = (0..).zip(&replicas.sorted);
    all.filter(|(index, replica)| replica.first == *index).map(|(_, replica)| *replica)
}

/// Lists all transfers from these donors to one receiver.
fn list_for(
    receiver: Replica,
    on_from: bool,
    donors: &[Replica],
    candidate: &Candidate,
    load: &[u64],
    from: usize,
    transfers: &mut Vec<Transfer>,
) {
    let Candidate { replicas, layout, .. } = candidate;
    let home = |index: u32| layout.home[index as usize] as usize;
    let share = |expert: Replica, count: u32| {
        let position = replicas.position[expert.first as usize];
        packing_load(load[position as usize], count.into())
    };
    let less = share(receiver, receiver.count() + 1);
    let relief = |gpu: usize| if layout.holds(gpu, receiver) { receiver.load - less } else { 0 };
    let donors = donors.iter().copied().filter(|donor| donor.first != receiver.first);
    for donor in donors {
        let more = share(donor, donor.count() - 1) - donor.load;
        let given = (donor.first..donor.end).filter(|&given| {
            (on_from || home(given) == from) && !layout.holds(home(given), receiver)
        });
        for given in given {
            let others = (donor.first..donor.end).filter(|&other| other != given).map(home);
            let rises = others.map(|gpu| layout.load[gpu] + more - relief(gpu));
            let changed = layout.load[home(given)] - donor.load + less;
            let mut peak = rises.fold(changed, u64::max);
            if on_from && !layout.holds(from, donor) {
                peak = peak.max(layout.load[from] - relief(from));
            }
            let receiver = replicas.position[receiver.first as usize];
            transfers.push(Transfer { peak, replica: given, receiver });
        }
    }
}

/// Counts the replicas of each expert by position after a transfer, up to the last expert that has more
/// than one.
pub(crate) fn count(transfer: Transfer, experts: usize, before: &ByExpert, counts: &mut Vec<u32>) {
    counts.clear();
    counts.resize(experts, 0);
    for (&replica, &position) in before.sorted.iter().zip(&before.position) {
        counts[position as usize] = replica.count();
    }
    counts[transfer.receiver as usize] += 1;
    counts[before.position[transfer.replica as usize] as usize] -= 1;
    let singles = counts.iter().rev().take_while(|&&count| count == 1).count();
    counts.truncate(experts - singles);
}

/// Makes `after` what `before` is with a transfer done, after which these are the `counts`.
pub(crate) fn apply(
    transfer: Transfer,
    load: &[u64],
    counts: &[u32],
    before: &Candidate,
    after: &mut Candidate,
) {
    let old = &before.replicas;
    let receiver = transfer.receiver as usize;
    let donor = old.sorted[transfer.replica as usize];
    let mut first = vec![0; load.len()];
    for (&replica, &position) in old.sorted.iter().zip(&old.position) {
        first[position as usize] = replica.first;
    }
    after.replicas.collect(load, counts);
    let Candidate { replicas, layout, peak } = after;
    layout.clear(before.layout.load.len(), old.sorted.len());
    let mut filled = vec![0; layout.load.len()];
    for (index, (&replica, &position)) in (0..).zip(replicas.sorted.iter().zip(&replicas.position))
    {
        let rank = index - replica.first;
        let mut was = first[position as usize] + rank;
        if position as usize == receiver && rank + 1 == replica.count() {
            was = transfer.replica;
        } else if first[position as usize] == donor.first && was >= transfer.replica {
            was += 1;
        }
        let gpu = before.layout.home[was as usize] as usize;
        layout.home[index as usize] = gpu as u32;
        layout.slots[gpu * layout.per_gpu + filled[gpu]] = index;
        filled[gpu] += 1;
        layout.load[gpu] += replica.load;
    }
    *peak = layout.peak();
}
