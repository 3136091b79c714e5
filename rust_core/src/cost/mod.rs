//! What a plan costs, and lower bounds of what any plan costs.

mod bisection;
pub(crate) mod bounds;
pub(crate) mod certify;
pub(crate) mod gpu_loads;
pub(crate) mod group_packing;
mod knapsack;
pub(crate) mod packing_bounds;
mod unequal;
