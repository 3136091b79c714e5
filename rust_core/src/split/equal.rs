//! What GPUs carry if the replicas of an expert share its load equally.

use crate::placement::EMPTY;
use crate::problem::cluster::Cluster;
use crate::problem::ratio::{Fraction, greatest_common_divisor_64};

/// A canonical load has at most so many parts. Loads are below 2^41 and speeds at most 2^16, so that
/// times compare in 128 bits.
const MOST_PARTS: u64 = 1 << 34;

/// The largest load of a GPU divided by its speed. If the numbers of replicas have a large common
/// multiple, shares are rounded up to 2^-34 of a canonical load.
pub(super) fn attained_by_equal_shares(
    phy2log: &[i64],
    logcnt: &[i64],
    loads: &[u64],
    cluster: &Cluster,
) -> Fraction {
    let parts = parts(logcnt);
    let share = |&expert: &i64| {
        let (load, replicas) = (loads[expert as usize], logcnt[expert as usize]);
        (u128::from(load) * u128::from(parts)).div_ceil(replicas as u128)
    };
    let mut busiest = Fraction::of(0, 1);
    for (gpu, properties) in cluster.gpus().iter().enumerate() {
        let held = phy2log[cluster.slots_of(gpu)].iter().filter(|&&expert| expert != EMPTY);
        let load: u128 = held.map(share).sum();
        let speed = u128::from(properties.speed);
        if load * busiest.denominator() > busiest.numerator() * u128::from(parts) * speed {
            busiest = Fraction::of(load, u128::from(parts) * speed);
        }
    }
    busiest
}

/// The least common multiple of the numbers of replicas, if it is small enough.
fn parts(logcnt: &[i64]) -> u64 {
    let mut parts = 1_u64;
    for &count in logcnt {
        let count = count as u64;
        if !parts.is_multiple_of(count) {
            let common = parts / greatest_common_divisor_64(parts, count) * count;
            if common > MOST_PARTS {
                return MOST_PARTS;
            }
            parts = common;
        }
    }
    parts
}
