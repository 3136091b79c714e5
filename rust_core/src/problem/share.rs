//! The load of one replica of an expert, in integers.

/// lcm(1..=16): packing loads count in this fraction of a canonical load, so that the shares of up
/// to 16 replicas are exact.
pub const SHARE_UNIT: u64 = 720_720;

/// The packing load of one of `replicas` replicas of an expert of canonical load `load`: the share
/// `load * SHARE_UNIT / replicas`, rounded up. Below 2^60, as canonical loads are at most 2^40.
///
/// Rounding up keeps a lower bound of the rational problem, rounded up too, a bound of the integer
/// problem.
#[inline]
#[must_use]
pub fn packing_load(load: u64, replicas: u64) -> u64 {
    // Most experts have one replica, and a division takes as long as ten of everything else here.
    if replicas == 1 { load * SHARE_UNIT } else { (load * SHARE_UNIT).div_ceil(replicas) }
}
