//! Fast plain functions that the algorithms call: sorting, tournaments, lanes, keys, sets, threads; and
//! the probe of peaks. The speed tricks are here, so that the algorithms read without them.

pub(crate) mod descending;
pub(crate) mod index_set;
pub(crate) mod lanes;
pub(crate) mod load_keys;
pub(crate) mod probe;
pub(crate) mod threads;
pub(crate) mod tournament;
