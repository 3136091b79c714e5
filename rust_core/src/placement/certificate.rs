//! What a plan costs and how far it is from the best: GPU loads, lower bounds, gaps.

use crate::cost::bounds::{LayerBound, LowerBounds};
use crate::error::Error;
use crate::kernel::threads::{share_out, worth};
use crate::placement::bound::Bound;
use crate::placement::plan::Plan;
use crate::problem::loads::CanonicalLoads;
use crate::problem::loads_sha256::LoadsSha256;
use crate::problem::ratio::rounded_quotient;
use crate::problem::share::{SHARE_UNIT, packing_load};

/// The loads that a plan puts on the GPUs, and bounds of what any plan could reach.
///
/// Loads are integers: `load / SHARE_UNIT / 2^exponents[layer]` is in the unit of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// GPUs per layer, G.
    pub num_gpus: usize,
    /// Load of each GPU, `[layers, G]`.
    pub gpu_load: Vec<u64>,
    /// Load of the busiest GPU, `[layers]`.
    pub max_load: Vec<u64>,
    /// What the busiest GPU of any plan carries at least, `[layers]`.
    pub lower_bound: Vec<u64>,
    /// Which bound that is, `[layers]`; of equal ones the first of [`Bound::ALL`].
    pub bound: Vec<Bound>,
    /// The lower bound if groups did not have to stay together, `[layers]`: what they cost. In a
    /// global plan the lower bound itself.
    pub bound_without_groups: Vec<u64>,
    /// Layers where a published policy reaches a lower largest GPU load, but by two copies of an
    /// expert on one GPU, `[layers]`. Only [`plan_certified`](crate::plan_certified) looks for them.
    pub beaten_by_duplicates: Vec<bool>,
    /// The unit of each layer, as in [`CanonicalLoads::exponents`].
    pub exponents: Vec<i32>,
    /// Of the loads certified for.
    pub loads_sha256: LoadsSha256,
}

impl Certificate {
    /// What `plan` costs under `loads`, which need not be those it was made for.
    ///
    /// Time O(layers * P log P), up to P/G times that where slots are few or none is spare, and a
    /// search of up to [`crate::MAX_PACKINGS`] packings a layer where a plan keeps three groups or
    /// more on each of several nodes, or three slots or more on each of several GPUs, none spare.
    ///
    /// # Errors
    /// [`Error::LoadMismatch`] if the loads have another shape.
    pub fn new(plan: &Plan, loads: &CanonicalLoads) -> Result<Self, Error> {
        check_shape(plan, loads)?;
        let mut bounds = LowerBounds::default();
        let bounds = (0..plan.layers).map(|layer| bounds.best(loads.row(layer), &plan.topology));
        Ok(Self::with_bounds(plan, loads, bounds, 1))
    }

    /// The same, with the bounds of each layer known.
    pub(crate) fn with_bounds(
        plan: &Plan,
        loads: &CanonicalLoads,
        bounds: impl Iterator<Item = LayerBound>,
        threads: usize,
    ) -> Self {
        let num_gpus = plan.topology.num_gpus();
        let gpu_load = gpu_loads(plan, loads, threads);
        let mut certificate = Self {
            num_gpus,
            max_load: gpu_load.chunks_exact(num_gpus).map(largest).collect(),
            gpu_load,
            lower_bound: Vec::with_capacity(plan.layers),
            bound: Vec::with_capacity(plan.layers),
            bound_without_groups: Vec::with_capacity(plan.layers),
            beaten_by_duplicates: vec![false; plan.layers],
            exponents: loads.exponents().to_vec(),
            loads_sha256: loads.into(),
        };
        for bound in bounds {
            certificate.lower_bound.push(bound.load);
            certificate.bound.push(bound.kind);
            certificate.bound_without_groups.push(bound.without_groups);
        }
        certificate
    }

    /// Load of each GPU in the unit of the input, correctly rounded, `[layers, G]`.
    #[must_use]
    pub fn gpu_load_in_units(&self) -> Vec<f64> {
        let layers = self.gpu_load.chunks_exact(self.num_gpus.max(1)).zip(&self.exponents);
        layers.flat_map(|(loads, &e)| loads.iter().map(move |&load| in_units(load, e))).collect()
    }

    /// Lower bounds in the unit of the input, correctly rounded, `[layers]`.
    #[must_use]
    pub fn lower_bound_in_units(&self) -> Vec<f64> {
        self.lower_bound.iter().zip(&self.exponents).map(|(&load, &e)| in_units(load, e)).collect()
    }

    /// [`Self::bound_without_groups`] in the unit of the input, correctly rounded, `[layers]`.
    #[must_use]
    pub fn bound_without_groups_in_units(&self) -> Vec<f64> {
        let layers = self.bound_without_groups.iter().zip(&self.exponents);
        layers.map(|(&load, &e)| in_units(load, e)).collect()
    }

    /// Mean GPU load / largest GPU load, correctly rounded, `[layers]`; 1 where all are 0.
    #[must_use]
    pub fn balancedness(&self) -> Vec<f64> {
        let layers = self.gpu_load.chunks_exact(self.num_gpus.max(1)).zip(&self.max_load);
        layers
            .map(|(loads, &max)| {
                if max == 0 {
                    return 1.0;
                }
                let total = loads.iter().map(|&load| u128::from(load)).sum();
                rounded_quotient(total, u128::from(max) * self.num_gpus.max(1) as u128, 0)
            })
            .collect()
    }

    /// Largest GPU load / lower bound - 1, correctly rounded, `[layers]`; 0 where both are 0, and
    /// infinite where the bound alone is, which no true certificate has.
    #[must_use]
    pub fn gap(&self) -> Vec<f64> {
        self.max_load.iter().zip(&self.lower_bound).map(|(&max, &bound)| gap(max, bound)).collect()
    }
}

/// Load of each GPU, `[layers, G]`.
fn gpu_loads(plan: &Plan, loads: &CanonicalLoads, threads: usize) -> Vec<u64> {
    let topology = &plan.topology;
    let (experts, slots, gpus) =
        (topology.num_experts(), topology.num_replicas(), topology.num_gpus());
    let threads = worth(threads, plan.layers * experts);
    let mut gpu_load = vec![0; plan.layers * gpus];
    let share = plan.layers.div_ceil(threads);
    share_out(threads, gpu_load.chunks_mut(share * gpus).enumerate(), |(i, gpu_load)| {
        let mut of_copy = Vec::with_capacity(experts);
        for (layer, gpu_load) in (i * share..).zip(gpu_load.chunks_exact_mut(gpus)) {
            let copies = &plan.logcnt[layer * experts..][..experts];
            let loads = loads.row(layer).iter().zip(copies);
            of_copy.clear();
            of_copy.extend(loads.map(|(&load, &copies)| packing_load(load, copies as u64)));
            let on = plan.phy2log[layer * slots..][..slots].chunks_exact(slots / gpus);
            for (load, experts) in gpu_load.iter_mut().zip(on) {
                *load = experts.iter().map(|&expert| of_copy[expert as usize]).sum();
            }
        }
    });
    gpu_load
}

fn largest(loads: &[u64]) -> u64 {
    loads.iter().copied().max().unwrap_or(0)
}

/// `max / bound - 1`, correctly rounded.
fn gap(max: u64, bound: u64) -> f64 {
    match (max, bound) {
        (0, 0) => 0.0,
        (_, 0) => f64::INFINITY,
        _ => rounded_quotient(u128::from(max.saturating_sub(bound)), u128::from(bound), 0),
    }
}

/// A packing load in the unit of the input.
fn in_units(load: u64, exponent: i32) -> f64 {
    rounded_quotient(u128::from(load), u128::from(SHARE_UNIT), exponent.saturating_neg())
}

/// Whether loads are those of as many layers and experts as the plan's.
pub(crate) fn check_shape(plan: &Plan, loads: &CanonicalLoads) -> Result<(), Error> {
    if loads.layers() == plan.layers && loads.experts() == plan.topology.num_experts() {
        return Ok(());
    }
    Err(Error::LoadMismatch {
        layers: loads.layers(),
        experts: loads.experts(),
        plan_layers: plan.layers,
        plan_experts: plan.topology.num_experts(),
    })
}
