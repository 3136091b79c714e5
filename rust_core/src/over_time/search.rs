//! The search: one move after another around the busiest GPUs, while moves are worth their price.

use std::cmp::Reverse;

use crate::over_time::screen::Screen;
use crate::over_time::slot::EMPTY;
use crate::over_time::state::{LeastGains, Move, State};

/// The GPUs of a zone around which a move is looked for.
const BUSIEST: usize = 2;

/// What an improvement may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most weight copies.
    pub(crate) copies: u64,
    /// What moving every slot once must gain, in millionths of the norm: the eighth root of the
    /// objective.
    pub(crate) price: u32,
}

impl Limits {
    /// What moves must gain if so many copies are left: a part of the norm is 8 times that part of the
    /// objective.
    pub(crate) fn least_gains(self, left: u64, objective: u64, slots: usize) -> LeastGains {
        let least = |copies: u64| {
            if copies == 0 || copies > left {
                return u64::MAX;
            }
            let price = 8 * u128::from(self.price) * u128::from(copies) * u128::from(objective);
            let gain = price.div_ceil(1_000_000 * slots as u128);
            u64::try_from(gain).map_or(u64::MAX, |gain| gain.max(1))
        };
        [0, 1, 2].map(least)
    }
}

/// A move that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) action: Move,
    /// Weight copies that it takes.
    pub(crate) copies: u64,
    /// By how much it lowers the objective, and the objective before it.
    pub(crate) gain: u64,
    pub(crate) before: u64,
}

/// Finds the best move around a GPU that gains enough, and its gain.
pub(crate) trait MoveFinder<const N: usize> {
    fn best_move(
        &mut self,
        state: &State<'_, N>,
        busy: usize,
        least: LeastGains,
    ) -> Option<(Move, u64)>;

    /// A move changed the loads of these GPUs and the shares of these experts.
    fn follow(&mut self, state: &State<'_, N>, gpus: &[usize], experts: &[u16]);
}

impl<const N: usize> MoveFinder<N> for Screen<N> {
    fn best_move(
        &mut self,
        state: &State<'_, N>,
        busy: usize,
        least: LeastGains,
    ) -> Option<(Move, u64)> {
        Screen::best_move(self, state, busy, least)
    }

    fn follow(&mut self, state: &State<'_, N>, gpus: &[usize], experts: &[u16]) {
        self.update(state, gpus.iter().copied(), experts);
    }
}

/// Improves a placement until no move around the two busiest GPUs of any zone is worth its price, or
/// the copies are spent.
pub(crate) fn improve<const N: usize>(
    state: &mut State<'_, N>,
    finder: &mut impl MoveFinder<N>,
    limits: Limits,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut left = limits.copies;
    // GPUs around which there was no move, until their zone changes.
    let mut idle = vec![false; state.fleet.gpus()];
    while left > 0 {
        let before = state.total();
        let least = limits.least_gains(left, before, state.fleet.num_slots());
        let mut found = None;
        for busy in busiest(state) {
            if idle[busy] {
                continue;
            }
            if let Some((action, gain)) = finder.best_move(state, busy, least) {
                let copies = state.copies(action);
                found = Some((busy, Step { action, copies, gain, before }));
                break;
            }
            idle[busy] = true;
        }
        let Some((busy, step)) = found else { break };
        idle[state.fleet.zone(state.fleet.zone_of(busy))].fill(false);
        left -= step.copies;
        let experts = match step.action {
            Move::Swap(..) => [EMPTY; 2],
            Move::Reassign(slot, expert) => [state.slots[slot as usize], expert],
        };
        let gpus = state.apply(step.action);
        let changed: Vec<u16> = experts.into_iter().filter(|&expert| expert != EMPTY).collect();
        finder.follow(state, &gpus, &changed);
        steps.push(step);
    }
    steps
}

/// The two GPUs with the largest potential of each zone, by potential. Ties: the lower index first.
fn busiest<const N: usize>(state: &State<'_, N>) -> Vec<usize> {
    let order = |&gpu: &usize| (Reverse(state.potential[gpu]), gpu);
    let mut busiest = Vec::with_capacity(BUSIEST * state.fleet.num_zones());
    let mut gpus: Vec<usize> = Vec::new();
    for zone in 0..state.fleet.num_zones() {
        gpus.clear();
        gpus.extend(state.fleet.zone(zone));
        let few = BUSIEST.min(gpus.len());
        if few < gpus.len() {
            gpus.select_nth_unstable_by_key(few, order);
        }
        busiest.extend(&gpus[..few]);
    }
    busiest.sort_unstable_by_key(order);
    busiest
}
