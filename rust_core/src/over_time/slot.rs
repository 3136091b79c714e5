//! What a slot holds, as the search counts it.

use crate::placement;

/// What a slot without an expert holds: an expert without load that is on no GPU.
pub(crate) const EMPTY: u16 = u16::MAX;

/// An expert as in `phy2log`.
pub(crate) fn logical(expert: u16) -> i64 {
    if expert == EMPTY { placement::EMPTY } else { i64::from(expert) }
}
