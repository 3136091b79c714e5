//! The sizes of a problem, checked once: experts, groups, and the GPUs of the cluster.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Part, parameter, too_large, too_small};
use crate::limits::{MAX_EXPERTS, MAX_REPLICAS};
use crate::problem::cluster::{Cluster, Gpu};

/// The sizes of a problem as the user gives them, for a cluster of equal GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Logical experts per layer, L.
    pub num_experts: u64,
    /// Physical experts (slots) per layer, P: all of them, redundant ones included.
    pub num_replicas: u64,
    /// Expert groups; with `num_groups % num_nodes == 0` whole groups are packed on nodes.
    pub num_groups: u64,
    /// Server nodes.
    pub num_nodes: u64,
    /// GPUs of all nodes together, G.
    pub num_gpus: u64,
}

/// Experts, groups and a cluster that go together: a plan exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    experts: usize,
    asked_groups: usize,
    asked_nodes: usize,
    /// Nodes with GPUs in use.
    used_nodes: usize,
    cluster: Arc<Cluster>,
    slots_per_gpu: usize,
    /// See [`Self::in_use`].
    in_use: Option<Arc<Self>>,
}

impl Topology {
    /// Checks `sizes`.
    ///
    /// # Errors
    /// A size is 0; more than [`MAX_EXPERTS`] experts or [`MAX_REPLICAS`] of anything else; fewer
    /// slots than experts; slots that are not divisible by the GPUs. If `num_groups % num_nodes ==
    /// 0` also GPUs that are not divisible by the nodes, and experts that are not divisible by the
    /// groups; otherwise the plan is global, as published. The hint has the nearest sizes that do.
    pub fn new(sizes: Sizes) -> Result<Self, Error> {
        check(sizes)?;
        let Sizes { num_experts, num_replicas, num_groups, num_nodes, num_gpus } = sizes;
        let slots_per_gpu = (num_replicas / num_gpus) as usize;
        let cluster = Cluster::equal(num_gpus as usize, slots_per_gpu, num_nodes as usize);
        Ok(Self {
            experts: num_experts as usize,
            asked_groups: num_groups as usize,
            asked_nodes: num_nodes as usize,
            used_nodes: num_nodes as usize,
            cluster: Arc::new(cluster),
            slots_per_gpu,
            in_use: None,
        })
    }

    /// Checks experts and groups for a cluster.
    ///
    /// # Errors
    /// Those of [`Self::new`]; if the GPUs are not equal: the GPUs in use have fewer slots than there
    /// are experts, or those of a node fewer than its groups have.
    pub fn of_cluster(num_experts: u64, num_groups: u64, cluster: Cluster) -> Result<Self, Error> {
        for (name, size, most) in
            [("num_experts", num_experts, MAX_EXPERTS), ("num_groups", num_groups, MAX_REPLICAS)]
        {
            if size == 0 || size > most {
                let error = too_large(name, size, most);
                return Err(if size == 0 { too_small(name) } else { error });
            }
        }
        let slots = cluster.used_slots() as u64;
        if slots < num_experts {
            let used = cluster.used_gpus().count() as u64;
            let error = missing_slots("the GPUs in use have", slots, num_experts);
            if used == 0 {
                return Err(error);
            }
            let each = num_experts.div_ceil(used);
            let enough = format!("{each} slots on each of {used} GPUs in use would do");
            return Err(error.hint([enough.into()]));
        }
        let (gpus, nodes) = (cluster.num_gpus() as u64, cluster.num_nodes() as u64);
        let uneven_nodes = num_groups.is_multiple_of(nodes) && !gpus.is_multiple_of(nodes);
        if cluster.uniform_slots().is_some() && !uneven_nodes {
            let topology = Self::new(Sizes {
                num_experts,
                num_replicas: cluster.num_slots() as u64,
                num_groups,
                num_nodes: nodes,
                num_gpus: gpus,
            })?;
            return Ok(Self { cluster: Arc::new(cluster), ..topology });
        }
        let nodes = cluster.used_nodes();
        let topology = Self {
            experts: num_experts as usize,
            asked_groups: num_groups as usize,
            asked_nodes: cluster.num_nodes(),
            used_nodes: nodes.len(),
            slots_per_gpu: cluster.used_gpus().map(|gpu| gpu.slots).max().unwrap_or(0) as usize,
            cluster: Arc::new(cluster),
            in_use: None,
        };
        if topology.is_global() {
            return Ok(topology.with_equal_gpus());
        }
        if !num_experts.is_multiple_of(num_groups) {
            return Err(not_divisible(("num_experts", num_experts), ("num_groups", num_groups)));
        }
        let experts = num_experts / nodes.len() as u64;
        for node in nodes {
            let here = topology.cluster.used_gpus().filter(|gpu| gpu.node == node);
            let slots = here.map(|gpu| u64::from(gpu.slots)).sum();
            if slots < experts {
                let gpus = format!("the GPUs in use of node {node} have");
                return Err(missing_slots(&gpus, slots, experts).hint([
                    "without groups experts can go to other nodes: try ".into(),
                    parameter("num_groups", 1),
                ]));
            }
        }
        Ok(topology.with_equal_gpus())
    }

    /// Finds out whether the GPUs in use are equal.
    fn with_equal_gpus(self) -> Self {
        let equal = |gpus: &[Gpu]| {
            gpus.windows(2).all(|pair| {
                let [one, other] = [pair[0], pair[1]].map(|gpu| (gpu.slots, gpu.speed));
                one == other
            })
        };
        let gpus: Vec<Gpu> = self.cluster.used_gpus().collect();
        let mut sizes = gpus.chunk_by(|a, b| a.node == b.node).map(<[Gpu]>::len);
        let first = sizes.next();
        if !equal(&gpus) || (!self.is_global() && sizes.any(|size| Some(size) != first)) {
            return self;
        }
        let in_use = Self::new(Sizes {
            num_experts: self.experts as u64,
            num_replicas: self.cluster.used_slots() as u64,
            num_groups: self.asked_groups as u64,
            num_nodes: self.used_nodes as u64,
            num_gpus: gpus.len() as u64,
        });
        Self { in_use: in_use.ok().map(Arc::new), ..self }
    }

    /// Whether all GPUs are equal and in use, and so are the nodes, unless the plan is global.
    #[must_use]
    pub fn has_equal_gpus(&self) -> bool {
        let even_nodes = self.num_gpus().is_multiple_of(self.nodes());
        self.cluster.uniform_slots().is_some() && even_nodes
    }

    /// If GPUs are not equal, but those in use are, and nodes with such GPUs have equally many of them if
    /// the plan is not global: these GPUs alone, one after another, with a speed of 1.
    #[must_use]
    pub(crate) fn in_use(&self) -> Option<&Self> {
        self.in_use.as_deref()
    }

    /// The GPUs and their slots.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Logical experts per layer, L.
    #[must_use]
    pub fn num_experts(&self) -> usize {
        self.experts
    }

    /// Physical experts (slots) per layer, P.
    #[must_use]
    pub fn num_replicas(&self) -> usize {
        self.cluster.num_slots()
    }

    /// Expert groups as asked for; [`Self::groups`] are those that the plan respects.
    #[must_use]
    pub fn num_groups(&self) -> usize {
        self.asked_groups
    }

    /// Nodes as asked for; [`Self::nodes`] are those that the plan respects.
    #[must_use]
    pub fn num_nodes(&self) -> usize {
        self.asked_nodes
    }

    /// GPUs of all nodes, G.
    #[must_use]
    pub fn num_gpus(&self) -> usize {
        self.cluster.num_gpus()
    }

    /// Slots of every GPU, or of the GPU in use that has most.
    #[must_use]
    pub fn slots_per_gpu(&self) -> usize {
        self.slots_per_gpu
    }

    /// Whether the groups are not divisible by the nodes with GPUs in use, so that the plan is global, as
    /// published.
    #[must_use]
    pub fn is_global(&self) -> bool {
        !self.asked_groups.is_multiple_of(self.used_nodes)
    }

    /// Groups that the plan keeps together: 1 if it is global.
    #[must_use]
    pub fn groups(&self) -> usize {
        if self.is_global() { 1 } else { self.asked_groups }
    }

    /// Nodes that the groups are packed on, those with GPUs in use: 1 if the plan is global.
    #[must_use]
    pub fn nodes(&self) -> usize {
        if self.is_global() { 1 } else { self.used_nodes }
    }

    /// Whether no GPU has to hold an expert twice, which a policy of this name never does. The hint names
    /// another policy, if there may be one.
    ///
    /// # Errors
    /// Some GPU would have to.
    pub(crate) fn check_distinct(&self, policy: &str, other: Option<&str>) -> Result<(), Error> {
        let (experts, nodes, gpus) = (self.num_experts(), self.nodes(), self.num_gpus());
        let per_gpu = self.slots_per_gpu();
        if per_gpu <= experts / nodes {
            return Ok(());
        }
        let on_node = experts / nodes;
        let expected = format!("no expert twice on a GPU, which the policy {policy} never does");
        if !self.has_equal_gpus() {
            let too_many = |gpu: &usize| {
                self.cluster.is_used(*gpu) && self.cluster.slots_of(*gpu).len() == per_gpu
            };
            let gpu = (0..gpus).find(too_many).unwrap_or(0);
            let there_are = match nodes {
                1 => format!("there are {experts} experts"),
                _ => format!("each node has {on_node} experts"),
            };
            let problem = format!("GPU {gpu} has {per_gpu} slots, but {there_are}");
            let hint = format!("give it at most {on_node} slots");
            return Err(Error::text(ErrorKind::Topology, problem)
                .expected(expected)
                .hint([hint.into()]));
        }
        let there_are = if nodes == 1 {
            format!(" means {per_gpu} slots per GPU, but there are {experts} experts")
        } else {
            format!(
                " means {per_gpu} slots per GPU, but each of {nodes} nodes has {on_node} experts"
            )
        };
        let problem = [parameter("num_replicas", self.num_replicas()), there_are.into()];
        let mut hint = vec!["try ".into(), parameter("num_replicas", on_node * gpus)];
        if let Some(other) = other {
            hint.extend([" or ".into(), parameter("policy", other)]);
        }
        Err(Error::new(ErrorKind::Topology, problem).expected(expected).hint(hint))
    }
}

fn check(sizes: Sizes) -> Result<(), Error> {
    refusal(sizes).map_or(Ok(()), |refusal| Err(refusal.error(sizes)))
}

/// Why sizes do not go together, and what would do.
struct Refusal {
    error: Error,
    /// Words before and after the sizes that would do.
    words: (Vec<Part>, &'static str),
    /// The nearest sizes that are not refused for this reason.
    nearest: Vec<Sizes>,
}

impl Refusal {
    fn new(error: Error, nearest: impl IntoIterator<Item = Sizes>) -> Self {
        Self { error, words: (vec!["try ".into()], ""), nearest: nearest.into_iter().collect() }
    }

    /// The error with a hint that works as it is: what else would be refused is changed too.
    fn error(self, sizes: Sizes) -> Error {
        let mut choices: Vec<Vec<Part>> = Vec::new();
        for choice in self.nearest.into_iter().filter_map(repaired) {
            let choice = changes(sizes, choice);
            if !choices.contains(&choice) {
                choices.push(choice);
            }
        }
        if choices.is_empty() {
            return self.error;
        }
        let or = if choices.iter().any(|choice| choice.len() > 1) { ", or " } else { " or " };
        let (mut hint, after) = self.words;
        hint.extend(choices.join(&Part::from(or)));
        if !after.is_empty() {
            hint.push(after.into());
        }
        self.error.hint(hint)
    }
}

/// The sizes, with those changed that are refused.
fn repaired(mut sizes: Sizes) -> Option<Sizes> {
    // Each of slots, groups and nodes is refused at most once or twice.
    for _ in 0..6 {
        match refusal(sizes) {
            None => return Some(sizes),
            Some(refusal) => sizes = *refusal.nearest.first()?,
        }
    }
    None
}

/// `num_groups=1 and num_nodes=1`: the sizes of `to` that differ.
fn changes(from: Sizes, to: Sizes) -> Vec<Part> {
    let changed = [
        ("num_replicas", from.num_replicas, to.num_replicas),
        ("num_groups", from.num_groups, to.num_groups),
        ("num_nodes", from.num_nodes, to.num_nodes),
    ];
    let changed = changed.into_iter().filter(|(_, from, to)| from != to);
    let parts: Vec<_> = changed.map(|(name, _, to)| [parameter(name, to)]).collect();
    parts.join(&Part::from(" and "))
}

fn refusal(sizes: Sizes) -> Option<Refusal> {
    let Sizes { num_experts, num_replicas, num_groups, num_nodes, num_gpus } = sizes;
    let named = [
        ("num_experts", num_experts),
        ("num_groups", num_groups),
        ("num_nodes", num_nodes),
        ("num_gpus", num_gpus),
        ("num_replicas", num_replicas),
    ];
    if let Some((name, _)) = named.into_iter().find(|&(_, size)| size == 0) {
        return Some(Refusal::new(too_small(name), []));
    }
    for (name, size) in named {
        let most = if name == "num_experts" { MAX_EXPERTS } else { MAX_REPLICAS };
        if size > most {
            return Some(Refusal::new(too_large(name, size, most), []));
        }
    }
    if num_replicas < num_experts {
        return Some(too_few_slots(sizes));
    }
    if !num_replicas.is_multiple_of(num_gpus) {
        let error = not_divisible(("num_replicas", num_replicas), ("num_gpus", num_gpus));
        return Some(Refusal::new(error, nearest_slots(sizes)));
    }
    if num_groups.is_multiple_of(num_nodes) { refused_groups(sizes) } else { None }
}

/// What a hierarchical plan asks for beyond a global one.
fn refused_groups(sizes: Sizes) -> Option<Refusal> {
    let Sizes { num_experts, num_groups, num_nodes, num_gpus, .. } = sizes;
    if !num_experts.is_multiple_of(num_groups) {
        let error = not_divisible(("num_experts", num_experts), ("num_groups", num_groups));
        let nearest = nearest_groups(sizes);
        if !nearest.is_empty() {
            return Some(Refusal::new(error, nearest));
        }
        let whole = format!(" no number of groups fits {num_experts} experts; try ");
        let before = vec!["with ".into(), parameter("num_nodes", num_nodes), whole.into()];
        let without = Refusal::new(error, [Sizes { num_groups: 1, num_nodes: 1, ..sizes }]);
        return Some(Refusal { words: (before, ""), ..without });
    }
    if !num_gpus.is_multiple_of(num_nodes) {
        let error = not_divisible(("num_gpus", num_gpus), ("num_nodes", num_nodes));
        return Some(Refusal::new(error, nearest_nodes(sizes)));
    }
    None
}

fn refused(problem: impl IntoIterator<Item = Part>) -> Error {
    Error::new(ErrorKind::Topology, problem)
}

fn too_few_slots(sizes: Sizes) -> Refusal {
    let Sizes { num_experts, num_replicas, num_gpus, .. } = sizes;
    let error = refused([
        parameter("num_replicas", num_replicas),
        format!(" is less than the {num_experts} experts").into(),
    ])
    .expected("at least one slot for each expert");
    // Often the redundant slots were given in the place of all slots. A GPU has no use for more slots
    // than there are experts.
    let guess = (num_experts + num_replicas).next_multiple_of(num_gpus);
    let slots = guess.min(num_experts.saturating_mul(num_gpus));
    let nearest = (slots <= MAX_REPLICAS).then_some(Sizes { num_replicas: slots, ..sizes });
    let before = vec!["all slots count, not only redundant ones: did you mean ".into()];
    Refusal { words: (before, "?"), ..Refusal::new(error, nearest) }
}

fn missing_slots(gpus: &str, slots: u64, experts: u64) -> Error {
    let missing = experts - slots;
    Error::text(ErrorKind::Topology, format!("{gpus} {slots} slots for {experts} experts"))
        .expected(format!("at least one slot for each expert: {missing} more"))
}

fn not_divisible(whole: (&'static str, u64), part: (&'static str, u64)) -> Error {
    refused([
        parameter(whole.0, whole.1),
        " is not divisible by ".into(),
        parameter(part.0, part.1),
    ])
}

/// The numbers of slots around the one asked for that GPUs divide and experts fit in.
fn nearest_slots(sizes: Sizes) -> impl Iterator<Item = Sizes> {
    let Sizes { num_experts, num_replicas, num_gpus, .. } = sizes;
    let below = num_replicas / num_gpus * num_gpus;
    let fits = move |slots: &u64| (num_experts..=MAX_REPLICAS).contains(slots);
    let slots = [below, below + num_gpus].into_iter().filter(fits);
    slots.map(move |num_replicas| Sizes { num_replicas, ..sizes })
}

/// The numbers of groups next to the one asked for that whole nodes and experts are divisible by.
fn nearest_groups(sizes: Sizes) -> Vec<Sizes> {
    let Sizes { num_experts, num_groups, num_nodes, .. } = sizes;
    let fits = |d: &u64| num_experts.is_multiple_of(*d) && d.is_multiple_of(num_nodes);
    let below = (1..num_groups.min(num_experts + 1)).rev().find(fits);
    let above = (num_groups..=num_experts).find(fits);
    below.into_iter().chain(above).map(|num_groups| Sizes { num_groups, ..sizes }).collect()
}

/// The numbers of nodes next to the one asked for that GPUs and groups are divisible by.
fn nearest_nodes(sizes: Sizes) -> impl Iterator<Item = Sizes> {
    let Sizes { num_groups, num_nodes, num_gpus, .. } = sizes;
    let fits = |d: &u64| num_gpus.is_multiple_of(*d) && num_groups.is_multiple_of(*d);
    let below = (1..num_nodes).rev().find(fits);
    let above = (num_nodes..=num_gpus).find(fits);
    below.into_iter().chain(above).map(move |num_nodes| Sizes { num_nodes, ..sizes })
}
