//! Transferred replicas: the slot of a replica of one expert, the donor, gets a replica of another, the
//! receiver, so that the GPU that takes longest carries a smaller share of the receiver, or loses the
//! donor.

use super::gpus::Gpus;
use super::layout::Layout;
use crate::problem::share::packing_load;

/// A replica to give up, and the expert that gets its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Transfer {
    /// The longest rough time of the GPUs whose load may rise, and of the one that took longest.
    peak: u64,
    pub(super) gpu: u32,
    pub(super) donor: u32,
    pub(super) receiver: u32,
}

/// Lists the best `wanted` transfers for `from`, the GPU that takes longest; the one that leaves the least
/// peak comes first. Either the receiver is on `from`, or the donor's replica. `loads` are the canonical
/// loads.
pub(super) fn list(
    gpus: &Gpus,
    layout: &Layout,
    loads: &[u64],
    from: usize,
    wanted: usize,
    transfers: &mut Vec<Transfer>,
) {
    transfers.clear();
    let experts = layout.count.len();
    let mut holders: Vec<Vec<u32>> = vec![Vec::new(); experts];
    for gpu in 0..gpus.len() {
        for &expert in layout.on(gpus, gpu) {
            holders[expert as usize].push(gpu as u32);
        }
    }
    let time = |gpu: u32, load| gpus.rough_time(gpu as usize, load);
    let load = |gpu: u32| layout.load[gpu as usize];
    let from = from as u32;
    let donors: Vec<usize> = (0..experts).filter(|&donor| layout.count[donor] > 1).collect();
    let on_from = |&expert: &usize| holders[expert].contains(&from);
    let donors_on_from: Vec<usize> = donors.iter().copied().filter(on_from).collect();
    for receiver in (0..experts).filter(|&receiver| holders[receiver].len() < gpus.len()) {
        let eases_from = on_from(&receiver);
        let less = packing_load(loads[receiver], u64::from(layout.count[receiver]) + 1);
        let relief = layout.share[receiver] - less;
        let eased = |gpu: u32| if holders[receiver].contains(&gpu) { relief } else { 0 };
        let donors = if eases_from { &donors } else { &donors_on_from };
        for &donor in donors.iter().filter(|&&donor| donor != receiver) {
            let with_from = on_from(&donor);
            let fewer = u64::from(layout.count[donor]) - 1;
            let more = packing_load(loads[donor], fewer) - layout.share[donor];
            for &gpu in holders[donor].iter().filter(|&&gpu| eases_from || gpu == from) {
                if holders[receiver].contains(&gpu) {
                    continue;
                }
                let others = holders[donor].iter().copied().filter(|&other| other != gpu);
                let rises = others.map(|other| time(other, load(other) + more - eased(other)));
                let changed = time(gpu, load(gpu) - layout.share[donor] + less);
                let mut peak = rises.fold(changed, u64::max);
                if eases_from && !with_from {
                    peak = peak.max(time(from, load(from) - relief));
                }
                let (donor, receiver) = (donor as u32, receiver as u32);
                transfers.push(Transfer { peak, gpu, donor, receiver });
            }
        }
    }
    if wanted < transfers.len() {
        transfers.select_nth_unstable(wanted);
        transfers.truncate(wanted);
    }
    transfers.sort_unstable();
}
