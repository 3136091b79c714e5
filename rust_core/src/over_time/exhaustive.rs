//! The exact search: every move around a GPU is evaluated, and nothing is estimated. The oracle of the
//! screened one, slow and plain.

use crate::over_time::screen::best;
use crate::over_time::search::MoveFinder;
use crate::over_time::slot::EMPTY;
use crate::over_time::state::{LeastGains, Move, State};

/// Evaluates every move.
pub(crate) struct Exhaustive;

impl<const N: usize> MoveFinder<N> for Exhaustive {
    fn best_move(
        &mut self,
        state: &State<'_, N>,
        busy: usize,
        least: LeastGains,
    ) -> Option<(Move, u64)> {
        best(state, moves(state, busy).into_iter(), least)
    }

    fn follow(&mut self, _: &State<'_, N>, _: &[usize], _: &[u16]) {}
}

/// All moves that change what is on a GPU, or take load from it.
fn moves<const N: usize>(state: &State<'_, N>, busy: usize) -> Vec<Move> {
    let fleet = state.fleet;
    let zone = fleet.zone_of(busy);
    let mut moves = Vec::new();
    for slot in fleet.slots(busy) {
        let expert = state.slots[slot];
        for other in fleet.zone_slots(zone).filter(|&other| fleet.gpu_of(other) != busy) {
            let swapped = state.slots[other];
            let doubles = state.holds(busy, swapped) || state.holds(fleet.gpu_of(other), expert);
            if !doubles && (expert, swapped) != (EMPTY, EMPTY) {
                moves.push(Move::Swap(slot as u32, other as u32));
            }
        }
    }
    for slot in fleet.zone_slots(zone).filter(|&slot| state.can_give(slot)) {
        let gpu = fleet.gpu_of(slot);
        for expert in 0..fleet.experts() as u16 {
            let stays = state.zone_of_expert[expert as usize] as usize == zone;
            if stays && !state.holds(gpu, expert) && (gpu == busy || state.holds(busy, expert)) {
                moves.push(Move::Reassign(slot as u32, expert));
            }
        }
    }
    moves
}
