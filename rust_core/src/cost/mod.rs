//! Lower bounds of what any plan costs.

pub(crate) mod bounds;
