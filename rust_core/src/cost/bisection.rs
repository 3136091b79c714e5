//! The least load that an argument allows.

/// The least t from `from` on that is allowed, if all above an allowed one are, as is `to`.
pub(super) fn least_allowed(from: u64, to: u64, mut allows: impl FnMut(u64) -> bool) -> u64 {
    if from >= to || allows(from) {
        return from;
    }
    let (mut ruled_out, mut allowed) = (from, to);
    while allowed - ruled_out > 1 {
        let middle = ruled_out.midpoint(allowed);
        if allows(middle) {
            allowed = middle;
        } else {
            ruled_out = middle;
        }
    }
    allowed
}
