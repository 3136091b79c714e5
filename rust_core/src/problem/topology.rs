//! The sizes of a problem, checked once: experts, slots, groups, nodes, GPUs.

use crate::error::Error;

/// Most logical experts per layer: the sum of 2^14 rounded loads of at most 2^48 fits 64 bits.
pub const MAX_EXPERTS: u64 = 1 << 14;
/// Most physical experts per layer: packing loads of so many slots sum to less than 2^60.
pub const MAX_REPLICAS: u64 = 1 << 20;
/// Most slots of a whole plan: three 64-bit tables of so many fit in 6 GiB.
pub const MAX_SLOTS: u64 = 1 << 28;

/// The sizes of a problem as the user gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Logical experts per layer, L.
    pub num_experts: u64,
    /// Physical experts (slots) per layer, P: all of them, spares included.
    pub num_replicas: u64,
    /// Expert groups; with `num_groups % num_nodes == 0` whole groups are packed on nodes.
    pub num_groups: u64,
    /// Server nodes.
    pub num_nodes: u64,
    /// GPUs, G, of all nodes together.
    pub num_gpus: u64,
}

/// Sizes that go together. A plan for them exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    experts: usize,
    replicas: usize,
    groups: usize,
    nodes: usize,
    gpus: usize,
}

impl Topology {
    /// Checks `sizes`.
    ///
    /// # Errors
    /// A zero; more than [`MAX_EXPERTS`] experts or [`MAX_REPLICAS`] of anything else; fewer slots than experts; slots that
    /// do not divide by the GPUs. Where `num_groups % num_nodes == 0` (else the plan is global, as
    /// published) also GPUs that do not divide by the nodes and experts that do not divide by the
    /// groups. Each names the nearest sizes that do.
    pub fn new(sizes: Sizes) -> Result<Self, Error> {
        let Sizes { num_experts, num_replicas, num_groups, num_nodes, num_gpus } = sizes;
        let named = [
            ("num_experts", num_experts),
            ("num_groups", num_groups),
            ("num_nodes", num_nodes),
            ("num_gpus", num_gpus),
            ("num_replicas", num_replicas),
        ];
        if let Some(&(name, _)) = named.iter().find(|(_, size)| *size == 0) {
            return Err(Error::ZeroSize { name });
        }
        for (name, size) in named {
            let most = if name == "num_experts" { MAX_EXPERTS } else { MAX_REPLICAS };
            if size > most {
                return Err(Error::TooLarge { name, size, most });
            }
        }
        if num_replicas < num_experts {
            return Err(Error::FewerReplicasThanExperts {
                replicas: num_replicas,
                experts: num_experts,
            });
        }
        if !num_replicas.is_multiple_of(num_gpus) {
            let advice = nearest_multiples("num_replicas", num_replicas, num_gpus, num_experts);
            return Err(Error::NotDivisible {
                whole_name: "num_replicas",
                whole: num_replicas,
                part_name: "num_gpus",
                part: num_gpus,
                advice,
            });
        }
        if num_groups.is_multiple_of(num_nodes) {
            check_hierarchy(sizes)?;
        }
        Ok(Self {
            experts: num_experts as usize,
            replicas: num_replicas as usize,
            groups: num_groups as usize,
            nodes: num_nodes as usize,
            gpus: num_gpus as usize,
        })
    }

    /// Logical experts per layer, L.
    #[must_use]
    pub fn num_experts(&self) -> usize {
        self.experts
    }

    /// Physical experts (slots) per layer, P.
    #[must_use]
    pub fn num_replicas(&self) -> usize {
        self.replicas
    }

    /// Expert groups as asked for; see [`Self::groups`] for those the plan respects.
    #[must_use]
    pub fn num_groups(&self) -> usize {
        self.groups
    }

    /// Nodes as asked for; see [`Self::nodes`] for those the plan respects.
    #[must_use]
    pub fn num_nodes(&self) -> usize {
        self.nodes
    }

    /// GPUs of all nodes, G.
    #[must_use]
    pub fn num_gpus(&self) -> usize {
        self.gpus
    }

    /// Slots of a GPU, P / G: slot p lives on GPU p / (P / G).
    #[must_use]
    pub fn slots_per_gpu(&self) -> usize {
        self.replicas / self.gpus
    }

    /// Whether the groups do not divide by the nodes, so that the plan is global, as published.
    #[must_use]
    pub fn fallback(&self) -> bool {
        !self.groups.is_multiple_of(self.nodes)
    }

    /// Groups that the plan keeps together: `num_groups`, or 1 after the fallback.
    #[must_use]
    pub fn groups(&self) -> usize {
        if self.fallback() { 1 } else { self.groups }
    }

    /// Nodes that the groups are packed on: `num_nodes`, or 1 after the fallback.
    #[must_use]
    pub fn nodes(&self) -> usize {
        if self.fallback() { 1 } else { self.nodes }
    }
}

/// What a hierarchical plan asks for beyond a global one.
fn check_hierarchy(sizes: Sizes) -> Result<(), Error> {
    let Sizes { num_experts, num_groups, num_nodes, num_gpus, .. } = sizes;
    if !num_experts.is_multiple_of(num_groups) {
        return Err(Error::NotDivisible {
            whole_name: "num_experts",
            whole: num_experts,
            part_name: "num_groups",
            part: num_groups,
            advice: nearest_groups(sizes),
        });
    }
    if !num_gpus.is_multiple_of(num_nodes) {
        return Err(Error::NotDivisible {
            whole_name: "num_gpus",
            whole: num_gpus,
            part_name: "num_nodes",
            part: num_nodes,
            advice: nearest_nodes(sizes),
        });
    }
    Ok(())
}

/// The multiples of `step` around `value` that are at least `least` and within the limits.
fn nearest_multiples(name: &str, value: u64, step: u64, least: u64) -> String {
    let below = value / step * step;
    let fits = |&candidate: &u64| candidate >= least.max(1) && candidate <= MAX_REPLICAS;
    would(name, [below, below + step].into_iter().filter(fits))
}

/// The numbers of groups next to the one asked for that whole nodes and experts divide into.
fn nearest_groups(sizes: Sizes) -> String {
    let Sizes { num_experts, num_groups, num_nodes, .. } = sizes;
    let fits = |d: &u64| num_experts.is_multiple_of(*d) && d.is_multiple_of(num_nodes);
    let below = (1..num_groups.min(num_experts + 1)).rev().find(fits);
    let above = (num_groups..=num_experts).find(fits);
    if below.or(above).is_none() {
        return format!("with num_nodes={num_nodes} no num_groups does; num_nodes=1 allows more");
    }
    would("num_groups", below.into_iter().chain(above))
}

/// The numbers of nodes next to the one asked for that GPUs and groups divide by.
fn nearest_nodes(sizes: Sizes) -> String {
    let Sizes { num_groups, num_nodes, num_gpus, .. } = sizes;
    let fits = |d: &u64| num_gpus.is_multiple_of(*d) && num_groups.is_multiple_of(*d);
    let below = (1..num_nodes).rev().find(fits);
    let above = (num_nodes..=num_gpus).find(fits);
    would("num_nodes", below.into_iter().chain(above))
}

fn would(name: &str, values: impl Iterator<Item = u64>) -> String {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    format!("{name}={} would", values.join(" or "))
}
