//! Replicas for experts that have none, before anything is improved.

use std::cmp::Reverse;

use crate::over_time::fleet::Fleet;
use crate::over_time::objective::{Objective, potential_of_any};
use crate::over_time::state::{Move, State};

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

/// Gives each of these experts the slot that costs the objective least, of the empty ones and those
/// whose expert keeps a replica. One weight copy each. Ties: the lower slot wins.
///
/// Returns an expert for which there is no slot.
pub(crate) fn place<const N: usize>(state: &mut State<'_, N>, experts: &[u16]) -> Result<(), u16> {
    for &expert in experts {
        let zone = state.zone_of_expert[expert as usize] as usize;
        let slots = state.fleet.zone_slots(zone).filter(|&slot| state.can_give(slot));
        let cost = |&slot: &usize| {
            let mut cost = 0_i128;
            state.reassigned(slot, expert, |gpu, load| {
                cost += i128::from(potential_of_any(load));
                cost -= i128::from(potential_of_any(&state.load[gpu]));
            });
            cost
        };
        let slot = slots.min_by_key(cost).ok_or(expert)?;
        state.apply(Move::Reassign(slot as u32, expert));
    }
    Ok(())
}
