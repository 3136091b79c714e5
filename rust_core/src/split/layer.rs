//! The split of one layer: the least time, and loads that attain it.

use crate::problem::ratio::{Fraction, greatest_common_divisor_64};
use crate::split::flow::Flow;
use crate::split::sharing::Sharing;

/// A canonical load has at most so many parts. Canonical loads of a layer sum to at most 2^40 + 2^13, so
/// that parts sum to less than 2^63.
const MAX_UNIT: u64 = 1 << 22;

/// What cannot be undercut.
#[derive(Debug)]
pub(super) struct Least {
    /// The largest load divided by speed of the best shares.
    pub(super) time: Fraction,
    /// The GPUs whose experts alone take that long.
    pub(super) busy: Vec<bool>,
}

/// The least time, and shares that attain it; a canonical load has as many parts as said.
///
/// By Newton's method (Dinkelbach's, for a quotient): beginning with the mean of all GPUs, or with one
/// GPU, each step finds the GPUs that have most to carry beyond the present time, and takes theirs. That
/// time is larger, and their speeds together are less, until all fits.
pub(super) fn least(sharing: &Sharing) -> (Least, Flow<'_>, u64) {
    let mut least = first(sharing);
    loop {
        let unit = parts(sharing, least.time);
        let mut flow = Flow::equal_shares(sharing, unit);
        match flow.move_excess(most(sharing, least.time, unit)) {
            Ok(()) if unit <= MAX_UNIT => return (least, flow, unit),
            Ok(()) => break,
            Err(busy) => least = Least { time: sharing.least_time(&busy), busy },
        }
    }
    // GPUs may carry a little more than the least, so that parts are not too many: less than a part
    // for each unit of speed.
    let mut flow = Flow::equal_shares(sharing, MAX_UNIT);
    let fits = flow.move_excess(most(sharing, least.time, MAX_UNIT));
    debug_assert!(fits.is_ok(), "what fits exactly, fits if GPUs may carry more");
    (least, flow, MAX_UNIT)
}

/// The larger of the mean and the largest time that a GPU alone takes for what only it holds.
fn first(sharing: &Sharing) -> Least {
    let mut least = Least { time: sharing.least_time(&sharing.holds), busy: sharing.holds.clone() };
    let times = sharing.fixed.iter().zip(&sharing.speed);
    for (gpu, (&load, &speed)) in times.enumerate() {
        let time = Fraction::of(load.into(), speed.into());
        if time > least.time {
            let mut busy = vec![false; sharing.speed.len()];
            busy[gpu] = true;
            least = Least { time, busy };
        }
    }
    least
}

/// Parts of a canonical load: a multiple of the denominator of the time, so that what GPUs may carry is
/// whole; and of the numbers of replicas, the smallest first, if there is room for them, so that equal
/// shares are whole too.
fn parts(sharing: &Sharing, time: Fraction) -> u64 {
    let mut parts = time.denominator() as u64;
    let mut counts: Vec<u64> = sharing.experts.iter().map(|expert| expert.replicas).collect();
    counts.sort_unstable();
    counts.dedup();
    for count in counts {
        let common = parts / greatest_common_divisor_64(parts, count) * count;
        if common <= MAX_UNIT {
            parts = common;
        }
    }
    parts
}

/// What each GPU may carry, in parts: its speed times the time, rounded up to whole parts.
fn most(sharing: &Sharing, time: Fraction, unit: u64) -> Vec<u128> {
    let parts = (time.numerator() * u128::from(unit)).div_ceil(time.denominator());
    sharing.speed.iter().map(|&speed| parts * u128::from(speed)).collect()
}
