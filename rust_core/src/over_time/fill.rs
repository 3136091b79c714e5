//! Experts for slots that would stay empty: engines need one in every slot.

use crate::over_time::fleet::Fleet;
use crate::over_time::state::EMPTY;

/// Fills every empty slot: with the expert that it held, if its GPU does not have that one now, which
/// costs nothing; otherwise with the expert of the largest load per replica that the GPU lacks. Ties:
/// the lower expert.
///
/// A GPU that has every expert of its zone keeps its empty slots. Time O(experts * slots of a GPU) for
/// each empty slot.
pub(crate) fn fill(
    slots: &mut [u16],
    held: &[u16],
    fleet: &Fleet,
    zone_of_expert: &[u32],
    load: &[u32],
) {
    let mut replicas = vec![0_u64; fleet.experts()];
    for &expert in slots.iter().filter(|&&expert| expert != EMPTY) {
        replicas[expert as usize] += 1;
    }
    let empty: Vec<usize> = (0..slots.len()).filter(|&slot| slots[slot] == EMPTY).collect();
    for slot in empty {
        let gpu = fleet.gpu_of(slot);
        let zone = fleet.zone_of(gpu) as u32;
        let here = &slots[fleet.slots(gpu)];
        let lacks =
            |&expert: &u16| zone_of_expert[expert as usize] == zone && !here.contains(&expert);
        let was = Some(held[slot]).filter(|&expert| expert != EMPTY && lacks(&expert));
        let heavier = |best: u16, other: u16| {
            // Load per replica, compared across.
            let at = |expert: u16| (u64::from(load[expert as usize]), replicas[expert as usize]);
            let ((best_load, best_count), (other_load, other_count)) = (at(best), at(other));
            if other_load * best_count > best_load * other_count { other } else { best }
        };
        let heaviest = || (0..fleet.experts() as u16).filter(lacks).reduce(heavier);
        if let Some(expert) = was.or_else(heaviest) {
            slots[slot] = expert;
            replicas[expert as usize] += 1;
        }
    }
}
