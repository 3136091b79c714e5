#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bounds;
mod certificate;
mod descending;
mod error;
mod items;
mod load;
mod loads_sha256;
mod minimax;
mod outside;
mod pack;
mod plan;
mod planner;
mod policy;
mod published;
mod ratio;
mod refine;
mod replicate;
mod share;
mod threads;
mod topology;
mod tournament;
mod trace;
mod verify;

// The tests inside the crate share these problems with those outside, which know it by its name.
#[cfg(test)]
extern crate self as eplb_core;
#[cfg(test)]
#[path = "../tests/problems/mod.rs"]
mod problems;

pub use bounds::{Bound, MAX_PACKINGS};
pub use certificate::Certificate;
pub use error::{Error, ErrorKind};
pub use load::{Bf16, CanonicalLoads, F16, Load};
pub use loads_sha256::LoadsSha256;
pub use plan::Plan;
pub use planner::{plan, plan_certified};
pub use policy::{Effort, Options, Policy};
pub use ratio::rounded_quotient;
pub use share::{SHARE_UNIT, packing_load};
pub use topology::{MAX_EXPERTS, MAX_REPLICAS, MAX_SLOTS, Sizes, Topology};
pub use verify::{verify, verify_structure};
