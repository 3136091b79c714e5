//! A bound for loads of few tokens.
//!
//! What most replicas carry are whole tokens, or simple parts of one: halves, sixths, twelfths. A GPU
//! that holds only such replicas carries a multiple of that part, so it is below the peak by a step or
//! more unless the peak is a multiple too. If few other replicas are there to fill what is missing, these
//! replica counts cannot come near the mean, however they are placed.

use crate::problem::ratio::common_divisor;
use crate::problem::share::SHARE_UNIT;

/// Parts of a token.
const PARTS: [u64; 4] = [1, 2, 6, 12];

/// With more tokens for each GPU, a part of one is less than the gap that most searches end at.
const MOST_TOKENS_PER_GPU: u64 = 4096;

/// The loads of a node in tokens: in what divides all of them.
#[derive(Debug, Default)]
pub(super) struct Lattice {
    /// A token in canonical load, or 0 if there are too many for a bound.
    token: u64,
    /// By position.
    tokens: Vec<u64>,
    total: u64,
    gpus: u64,
}

impl Lattice {
    /// Begins with these canonical loads, on so many GPUs. Time O(experts), and less for most loads that
    /// are not of few tokens.
    pub(super) fn start(&mut self, load: &[u64], gpus: usize) {
        self.gpus = gpus as u64;
        let total = load.iter().sum::<u64>();
        let least = (total / (MOST_TOKENS_PER_GPU * self.gpus)).max(1);
        self.token = common_divisor(load.iter().copied(), least).unwrap_or(0);
        self.total = total.checked_div(self.token).unwrap_or(0);
        self.tokens.clear();
        self.tokens.extend(load.iter().map_while(|w| w.checked_div(self.token)));
    }

    /// What some GPU carries at least with these replica counts, which are one after their end; 0 if
    /// nothing is known. Time O(counts).
    pub(super) fn bound(&self, counts: &[u32]) -> u64 {
        let mut others = [0; PARTS.len()];
        for (&tokens, &count) in self.tokens.iter().zip(counts) {
            let count = u64::from(count);
            for (others, part) in others.iter_mut().zip(PARTS) {
                if count > 1 && !(tokens * part).is_multiple_of(count) {
                    *others += count;
                }
            }
        }
        let bounds = PARTS.into_iter().zip(others);
        bounds.map(|(part, others)| self.bound_of(part, others)).max().unwrap_or(0)
    }

    /// The same if all replicas but `others` carry multiples of this part of a token.
    fn bound_of(&self, part: u64, others: u64) -> u64 {
        let total = self.total * part;
        let below_mean = total / self.gpus;
        if others >= self.gpus || below_mean * self.gpus == total {
            return 0;
        }
        // If the peak is less than a step above `below_mean`, GPUs without one of the others carry no
        // more than that, and those with one have to carry the rest.
        let rest = total - below_mean * (self.gpus - others);
        let step = SHARE_UNIT / part * self.token;
        let fills = others > 0 && rest < others * (below_mean + 1);
        if fills { rest * step / others } else { (below_mean + 1) * step }
    }
}
