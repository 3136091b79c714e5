//! Fast plain functions that the algorithms call: sorting, tournaments, threads; and the probe of peaks.

pub(crate) mod descending;
pub(crate) mod probe;
pub(crate) mod threads;
pub(crate) mod tournament;
