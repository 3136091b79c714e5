//! Replicas for experts that have none, before anything is improved, and experts for slots that moves
//! left empty.

use std::cmp::Reverse;

use crate::over_time::fleet::Fleet;
use crate::over_time::objective::{Objective, potential_of_any};
use crate::over_time::state::{EMPTY, Move, State};

/// The experts without a slot, the heaviest first.
pub(crate) fn unplaced<const N: usize>(
    fleet: &Fleet,
    objective: &Objective<N>,
    slots: &[u16],
) -> Vec<u16> {
    let mut placed = vec![false; fleet.experts()];
    for &expert in slots {
        if let Some(placed) = placed.get_mut(expert as usize) {
            *placed = true;
        }
    }
    let mut unplaced: Vec<u16> =
        (0..fleet.experts() as u16).filter(|&expert| !placed[expert as usize]).collect();
    unplaced.sort_by_key(|&expert| Reverse(objective.total_of(expert as usize)));
    unplaced
}

/// Those of the unplaced experts in whose zone there are fewer empty slots than unplaced experts.
pub(crate) fn squeezed<const N: usize>(
    state: &State<'_, N>,
    unplaced: &[u16],
    empty: &[usize],
) -> Vec<u16> {
    let mut room = vec![0_i64; state.fleet.num_zones()];
    for &slot in empty {
        room[state.fleet.zone_of(state.fleet.gpu_of(slot))] += 1;
    }
    let zone_of = |expert: u16| state.zone_of_expert[expert as usize] as usize;
    for &expert in unplaced {
        room[zone_of(expert)] -= 1;
    }
    unplaced.iter().copied().filter(|&expert| room[zone_of(expert)] < 0).collect()
}

/// Gives each of these experts the slot that costs the objective least, of the empty ones and those
/// whose expert keeps a replica. One weight copy each. Ties: the lower slot wins.
///
/// Returns an expert for which there is no slot.
pub(crate) fn place<const N: usize>(state: &mut State<'_, N>, experts: &[u16]) -> Result<(), u16> {
    for &expert in experts {
        let zone = state.zone_of_expert[expert as usize] as usize;
        let slots = state.fleet.zone_slots(zone).filter(|&slot| state.can_give(slot));
        let slot = slots.min_by_key(|&slot| cost(state, slot, expert)).ok_or(expert)?;
        state.apply(Move::Reassign(slot as u32, expert));
    }
    Ok(())
}

/// Gives each slot that moves left empty an expert that its GPU held at the start and lacks now, which
/// costs nothing: the one of the slot, or the first in order of slots. There is one for every slot, if
/// the only ones empty at the start were those of second replicas.
pub(crate) fn bring_back(slots: &mut [u16], start: &[u16], fleet: &Fleet) {
    for slot in 0..slots.len() {
        if slots[slot] == EMPTY {
            let gpu = fleet.slots(fleet.gpu_of(slot));
            let (held, here) = (&start[gpu.clone()], &slots[gpu]);
            let lacks = |expert: &&u16| **expert != EMPTY && !here.contains(expert);
            let expert = [start[slot]].iter().chain(held).find(lacks).copied();
            slots[slot] = expert.unwrap_or(EMPTY);
        }
    }
}

/// What the objective loses if the slot gets the expert.
fn cost<const N: usize>(state: &State<'_, N>, slot: usize, expert: u16) -> i128 {
    let mut cost = 0_i128;
    state.reassigned(slot, expert, |gpu, load| {
        cost += i128::from(potential_of_any(load));
        cost -= i128::from(potential_of_any(&state.load[gpu]));
    });
    cost
}
