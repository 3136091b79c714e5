#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod cost;
mod error;
mod greedy;
mod import;
mod kernel;
mod layer_planner;
mod layout;
mod limits;
mod minimax;
mod over_time;
mod placement;
mod planner;
mod problem;
mod published;
mod replicate;
pub mod sampling;
mod sorted_replicas;
mod split;
mod verify;

// The tests inside the crate share these problems with those outside, which know it by its name.
#[cfg(test)]
extern crate self as eplb_core;
#[cfg(test)]
#[path = "../tests/problems/mod.rs"]
mod problems;

pub use cost::certify::certify;
pub use cost::packing_bounds::MAX_PACKINGS;
pub use error::{Error, ErrorKind, Part, Place};
pub use limits::{MAX_EXPERTS, MAX_REPLICAS, MAX_SLOTS};
pub use over_time::previous::Previous;
pub use over_time::replan::{LayerMigration, Migration, MigrationOptions, MoveLimit, replan};
pub use over_time::transfers::{Slot, Transfer, transfers};
pub use placement::Placement;
pub use placement::bound::Bound;
pub use placement::certificate::{Certificate, LayerCertificate};
pub use placement::split::{LayerSplit, Split};
pub use planner::{Plan, plan, policies_for};
pub use problem::Problem;
pub use problem::cluster::{Cluster, Gpu, GpuState, MAX_SPEED};
pub use problem::history::layer::{HistoryOptions, LayerState};
pub use problem::history::{HistoryState, LoadHistory};
pub use problem::loads::CanonicalLoads;
pub use problem::loads_sha256::LoadsSha256;
pub use problem::number::{Bf16, F16, Load};
pub use problem::options::{Effort, Options, Policy};
pub use problem::ratio::{Fraction, rounded_quotient};
pub use problem::share::{SHARE_UNIT, packing_load};
pub use problem::topology::{Sizes, Topology};
pub use split::split;
pub use verify::split::verify_split;
pub use verify::structure::verify_structure;
pub use verify::{verify, verify_watched};
