//! What is to be planned: loads, sizes, options.

pub(crate) mod loads;
pub(crate) mod loads_sha256;
pub(crate) mod number;
pub(crate) mod options;
pub(crate) mod ratio;
pub(crate) mod share;
pub(crate) mod topology;
