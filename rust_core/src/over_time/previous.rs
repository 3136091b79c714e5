//! The placement that is in force: what each slot of the new fleet holds already.

use std::mem::replace;

use crate::error::{Error, Place};
use crate::over_time::error;
use crate::over_time::fleet::Fleet;
use crate::over_time::slot::{EMPTY, logical};
use crate::problem::cluster::Cluster;

/// A placement that is in force.
#[derive(Debug, Clone, Copy)]
pub struct Previous<'a> {
    /// Logical expert in each slot, `[layers, slots]`; -1 is an empty slot. A GPU may hold an expert
    /// twice, and experts may lack.
    pub phy2log: &'a [i64],
    /// The GPUs that it is on. GPU 0 of the new plan is GPU 0 here, and so on: GPUs are added or
    /// removed at the end. What is said here of speeds and states does not matter.
    pub cluster: &'a Cluster,
}

impl<'a> Previous<'a> {
    /// Checks the size, and returns the number of layers.
    pub(crate) fn layers(&self) -> Result<usize, Error> {
        let Self { phy2log, cluster } = *self;
        let slots = cluster.num_slots();
        if slots == 0 || phy2log.is_empty() || !phy2log.len().is_multiple_of(slots) {
            let problem = format!("the previous placement has {} entries", phy2log.len());
            let expected = format!("whole layers of {slots} slots");
            return Err(error::previous(Place::default(), problem, expected));
        }
        Ok(phy2log.len() / slots)
    }

    /// What each slot of the fleet holds, in a layer. An expert stays in its slot; if its GPU has
    /// fewer slots now, experts stay that have a replica nowhere else. A second replica on a GPU is
    /// worth nothing there: its slot is empty.
    ///
    /// # Errors
    /// A slot holds an unknown expert.
    pub(crate) fn slots(&self, layer: usize, fleet: &Fleet) -> Result<Vec<u16>, Error> {
        let experts = fleet.experts();
        let row = self.row(layer);
        let unknown = |&expert: &i64| !(-1..experts as i64).contains(&expert);
        if let Some(slot) = row.iter().position(unknown) {
            let problem = format!("unknown expert {}", row[slot]);
            let expected = format!("0 to {}, or -1 for an empty slot", experts - 1);
            return Err(error::previous(Place::slot(layer, slot), problem, expected));
        }
        let mut old: Vec<u16> = row.iter().map(|&expert| expert as u16).collect(); // -1 is EMPTY
        let gpus = fleet.gpus().min(self.cluster.num_gpus());
        let mut slots = vec![EMPTY; fleet.num_slots()];
        let mut shrinks = false;
        // The last GPU on which each expert was seen.
        let mut last = vec![usize::MAX; experts];
        for gpu in 0..gpus {
            let (held, slots) =
                (&mut old[self.cluster.slots_of(gpu)], &mut slots[fleet.slots(gpu)]);
            for held in held.iter_mut().filter(|held| **held != EMPTY) {
                if replace(&mut last[*held as usize], gpu) == gpu {
                    *held = EMPTY;
                }
            }
            let kept = held.len().min(slots.len());
            slots[..kept].copy_from_slice(&held[..kept]);
            shrinks |= kept < held.len();
        }
        if shrinks {
            let mut replicas = vec![0; experts];
            for &expert in slots.iter().filter(|&&expert| expert != EMPTY) {
                replicas[expert as usize] += 1;
            }
            for gpu in 0..gpus {
                let (held, slots) =
                    (&old[self.cluster.slots_of(gpu)], &mut slots[fleet.slots(gpu)]);
                keep_last_replicas(&held[slots.len().min(held.len())..], slots, &mut replicas);
            }
        }
        Ok(slots)
    }

    /// Whether a replica is in no slot of the fleet: its GPU is not in use, or has fewer slots now.
    pub(crate) fn loses_replicas(&self, layer: usize, fleet: &Fleet) -> bool {
        let (row, cluster) = (self.row(layer), self.cluster);
        let slots = |gpu: usize| if gpu < fleet.gpus() { fleet.slots(gpu).len() } else { 0 };
        (0..cluster.num_gpus()).any(|gpu| {
            let lost = row[cluster.slots_of(gpu)].iter().skip(slots(gpu));
            lost.into_iter().any(|&expert| expert >= 0)
        })
    }

    fn row(&self, layer: usize) -> &'a [i64] {
        let slots = self.cluster.num_slots();
        &self.phy2log[layer * slots..][..slots]
    }

    /// What the GPUs hold that the fleet has too.
    fn gpus(&self, layer: usize, fleet: &Fleet) -> impl Iterator<Item = (usize, &'a [i64])> {
        let (row, cluster) = (self.row(layer), self.cluster);
        let gpus = fleet.gpus().min(cluster.num_gpus());
        (0..gpus).map(move |gpu| (gpu, &row[cluster.slots_of(gpu)]))
    }

    /// Puts experts that stay on a GPU in the slots that they had there; the others follow in order. So an
    /// expert that left and came back has not moved.
    pub(crate) fn align(&self, layer: usize, fleet: &Fleet, slots: &mut [u16]) {
        for (gpu, held) in self.gpus(layer, fleet) {
            let new = &mut slots[fleet.slots(gpu)];
            let held = &held[..held.len().min(new.len())];
            if held.iter().copied().eq(new.iter().map(|&expert| logical(expert))) {
                continue;
            }
            let mut aligned = vec![EMPTY; new.len()];
            let mut others = Vec::new();
            for &expert in new.iter().filter(|&&expert| expert != EMPTY) {
                let mut own = held.iter().zip(&aligned);
                match own.position(|(&held, &now)| held == i64::from(expert) && now == EMPTY) {
                    Some(position) => aligned[position] = expert,
                    None => others.push(expert),
                }
            }
            // A slot that was empty and is to be empty stays so, if the numbers allow it.
            let mut others = others.into_iter();
            for position in 0..new.len() {
                if aligned[position] == EMPTY && new[position] != EMPTY {
                    aligned[position] = others.next().unwrap_or(EMPTY);
                }
            }
            for held in aligned.iter_mut().filter(|held| **held == EMPTY) {
                *held = others.next().unwrap_or(EMPTY);
            }
            new.copy_from_slice(&aligned);
        }
    }

    /// Slots that get an expert which their GPU did not hold, in any of its old slots: the weight
    /// copies of an update.
    pub(crate) fn copies(&self, layer: usize, fleet: &Fleet, slots: &[u16]) -> u64 {
        let row = self.row(layer);
        let arrived = |gpu: usize| {
            let old = if gpu < self.cluster.num_gpus() { self.cluster.slots_of(gpu) } else { 0..0 };
            let held = &row[old];
            let new = &slots[fleet.slots(gpu)];
            if held.iter().copied().eq(new.iter().map(|&expert| logical(expert))) {
                return 0; // most GPUs: quickly
            }
            let new = new.iter().filter(|&&expert| expert != EMPTY);
            new.filter(|&&expert| !held.contains(&i64::from(expert))).count() as u64
        };
        (0..fleet.gpus()).map(arrived).sum()
    }

    /// Slots of the fleet that hold a second replica of an expert on their GPU, and the expert, if that
    /// is of this zone. For [`Self::slots`] they are empty.
    fn duplicates(&self, layer: usize, fleet: &Fleet, zone_of_expert: &[u32]) -> Vec<(usize, u16)> {
        let mut duplicates = Vec::new();
        for (gpu, held) in self.gpus(layer, fleet) {
            let zone = fleet.zone_of(gpu) as u32;
            for (position, (slot, expert)) in fleet.slots(gpu).zip(held).enumerate() {
                let Ok(expert) = u16::try_from(*expert) else { continue };
                let is_second = held[..position].contains(&i64::from(expert));
                if is_second && zone_of_expert[expert as usize] == zone {
                    duplicates.push((slot, expert));
                }
            }
        }
        duplicates
    }

    /// The slots in which there is nothing, not even a second replica.
    pub(crate) fn empty_slots(
        &self,
        layer: usize,
        fleet: &Fleet,
        slots: &[u16],
        zone_of_expert: &[u32],
    ) -> Vec<usize> {
        let mut empty: Vec<usize> = (0..slots.len()).filter(|&slot| slots[slot] == EMPTY).collect();
        if !empty.is_empty() {
            let duplicates = self.duplicates(layer, fleet, zone_of_expert);
            empty.retain(|&slot| duplicates.iter().all(|&(other, _)| other != slot));
        }
        empty
    }

    /// Slots that are empty only because they held a second replica keep it: its weights are there.
    pub(crate) fn restore_duplicates(
        &self,
        layer: usize,
        fleet: &Fleet,
        slots: &mut [u16],
        zone_of_expert: &[u32],
    ) {
        for (slot, expert) in self.duplicates(layer, fleet, zone_of_expert) {
            if slots[slot] == EMPTY {
                slots[slot] = expert;
            }
        }
    }
}

/// Experts in slots that a GPU lost which have no replica now go to slots that it has: the last one that
/// is empty, or else the last one whose expert has another replica.
fn keep_last_replicas(lost: &[u16], slots: &mut [u16], replicas: &mut [u32]) {
    for &expert in lost {
        if expert == EMPTY || replicas[expert as usize] > 0 {
            continue;
        }
        let empty = slots.iter().rposition(|&held| held == EMPTY);
        let spare = || slots.iter().rposition(|&held| replicas[held as usize] > 1);
        if let Some(slot) = empty.or_else(spare) {
            if let Some(replicas) = replicas.get_mut(slots[slot] as usize) {
                *replicas -= 1;
            }
            slots[slot] = expert;
            replicas[expert as usize] = 1;
        }
    }
}
