//! What a placement costs under some loads, and how far it is from the best: a row per layer.

use crate::placement::bound::Bound;
use crate::problem::loads_sha256::LoadsSha256;
use crate::problem::ratio::rounded_quotient;
use crate::problem::share::SHARE_UNIT;

/// The loads that a placement puts on the GPUs, and bounds of what any plan could reach.
///
/// Loads are integers: `load / SHARE_UNIT / 2^exponent` is in the unit of the input. Where GPUs differ in
/// speed, the largest load and the bounds are loads by speed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// One row per layer.
    pub layers: Vec<LayerCertificate>,
    /// Hash of the loads that the certificate is for.
    pub loads_sha256: LoadsSha256,
}

/// What the placement of one layer costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerCertificate {
    /// Load of each GPU, `[G]`.
    pub gpu_load: Vec<u64>,
    /// Load of the busiest GPU; divided by its speed, rounded up, if GPUs differ in that.
    pub max_load: u64,
    /// The speeds of all GPUs in use together: their number, if they are equal.
    pub total_speed: u64,
    /// What the busiest GPU of any plan carries at least.
    pub lower_bound: u64,
    /// Which bound that is; of equal ones the first of [`Bound::ALL`].
    pub bound: Bound,
    /// The lower bound if groups did not have to stay together: what they cost. In a global plan it
    /// is the lower bound itself.
    pub bound_without_groups: u64,
    /// Whether a published policy reaches a lower largest GPU load, but only by two replicas of an
    /// expert on one GPU. Only planning looks for that; [`certify`](crate::certify) does not.
    pub beaten_by_duplicates: bool,
    /// The unit: the exponent of the layer's canonical loads.
    pub exponent: i32,
}

impl LayerCertificate {
    /// Load of each GPU in the unit of the input, correctly rounded, `[G]`.
    pub fn gpu_load_in_units(&self) -> impl Iterator<Item = f64> {
        self.gpu_load.iter().map(|&load| self.in_units(load))
    }

    /// The lower bound in the unit of the input, correctly rounded.
    #[must_use]
    pub fn lower_bound_in_units(&self) -> f64 {
        self.in_units(self.lower_bound)
    }

    /// [`Self::bound_without_groups`] in the unit of the input, correctly rounded.
    #[must_use]
    pub fn bound_without_groups_in_units(&self) -> f64 {
        self.in_units(self.bound_without_groups)
    }

    /// Mean GPU load / largest GPU load, correctly rounded; 1 if all are 0. If GPUs differ in speed, all
    /// loads / all speeds / largest GPU load by its speed.
    #[must_use]
    pub fn balancedness(&self) -> f64 {
        if self.max_load == 0 {
            return 1.0;
        }
        let total = self.gpu_load.iter().map(|&load| u128::from(load)).sum();
        let speed = u128::from(self.total_speed.max(1));
        rounded_quotient(total, u128::from(self.max_load) * speed, 0)
    }

    /// Largest GPU load / lower bound - 1, correctly rounded; 0 if both are 0, and infinite if the
    /// bound alone is, which no true certificate has.
    #[must_use]
    pub fn gap(&self) -> f64 {
        match (self.max_load, self.lower_bound) {
            (0, 0) => 0.0,
            (_, 0) => f64::INFINITY,
            (max, bound) => {
                rounded_quotient(u128::from(max.saturating_sub(bound)), u128::from(bound), 0)
            }
        }
    }

    /// A packing load in the unit of the input.
    fn in_units(&self, load: u64) -> f64 {
        let exponent = self.exponent.saturating_neg();
        rounded_quotient(u128::from(load), u128::from(SHARE_UNIT), exponent)
    }
}
