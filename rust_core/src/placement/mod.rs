//! Which expert sits in which slot, and what that costs.

pub(crate) mod bound;
pub(crate) mod certificate;
pub(crate) mod import;
pub(crate) mod plan;
