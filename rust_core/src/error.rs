//! Everything that can be wrong with an input: one enum, each message with place, value and what would do.

use crate::problem::topology::MAX_SLOTS;

/// What is wrong with an input. `layer`, `expert` and `slot` count from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A load that is NaN, infinite or negative.
    #[error(
        "layer {layer}, expert {expert}: the load is {value}; a load must be finite and not negative"
    )]
    LoadValue {
        /// Layer of the load.
        layer: usize,
        /// Logical expert of the load.
        expert: usize,
        /// The load as text.
        value: String,
    },
    /// The loads do not fill a table of `layers` x `experts`.
    #[error(
        "{values} loads do not fill {layers} layers x {experts} experts; \
         give layers * experts loads, with at least one layer and one expert"
    )]
    LoadShape {
        /// Number of loads given.
        values: usize,
        /// Number of layers claimed.
        layers: usize,
        /// Number of experts claimed.
        experts: usize,
    },
    /// The loads have another shape than the plan or topology they are used with.
    #[error(
        "the loads are {layers} layers x {experts} experts, but the plan is \
         {plan_layers} layers x {plan_experts} experts; give the loads of the same model"
    )]
    LoadMismatch {
        /// Layers of the loads.
        layers: usize,
        /// Experts of the loads.
        experts: usize,
        /// Layers of the plan.
        plan_layers: usize,
        /// Experts of the plan.
        plan_experts: usize,
    },
    /// A size that must be at least one is zero.
    #[error("{name} is 0; it must be at least 1")]
    ZeroSize {
        /// Name of the size, as in [`crate::Sizes`].
        name: &'static str,
    },
    /// A size beyond what the exact arithmetic covers.
    #[error("{name}={size} is too large; at most {most} is supported")]
    TooLarge {
        /// Name of the size, as in [`crate::Sizes`].
        name: &'static str,
        /// Its value.
        size: u64,
        /// The largest value that is supported.
        most: u64,
    },
    /// The whole plan would not fit a reasonable memory.
    #[error(
        "{layers} layers x {replicas} replicas are more than {MAX_SLOTS} slots in all; \
         plan fewer layers at a time"
    )]
    TooManySlots {
        /// Layers of the loads.
        layers: usize,
        /// Slots per layer.
        replicas: usize,
    },
    /// The machine has no memory left for the plan.
    #[error(
        "no memory for a plan of {layers} layers x {replicas} replicas; plan fewer layers at a time"
    )]
    OutOfMemory {
        /// Layers of the plan.
        layers: usize,
        /// Slots per layer.
        replicas: usize,
    },
    /// Fewer slots than experts.
    #[error(
        "num_replicas={replicas} is less than the {experts} experts, and every expert needs a slot; \
         num_replicas counts all slots, not the spares: did you mean {experts} + {replicas} = {}?",
        experts + replicas
    )]
    FewerReplicasThanExperts {
        /// Slots per layer.
        replicas: u64,
        /// Experts per layer.
        experts: u64,
    },
    /// A size that must divide another does not.
    #[error("{whole_name}={whole} does not divide evenly by {part_name}={part}; {advice}")]
    NotDivisible {
        /// Name of the size to be divided.
        whole_name: &'static str,
        /// Its value.
        whole: u64,
        /// Name of the divisor.
        part_name: &'static str,
        /// Its value.
        part: u64,
        /// The nearest values that would do.
        advice: String,
    },
    /// A policy name that is none.
    #[error("there is no policy {name:?}; the policies are {}", crate::Policy::names().join(", "))]
    UnknownPolicy {
        /// The name given.
        name: String,
    },
    /// An effort name that is none.
    #[error("there is no effort {name:?}; the efforts are {}", crate::Effort::names().join(", "))]
    UnknownEffort {
        /// The name given.
        name: String,
    },
    /// A target gap that is NaN, infinite or negative.
    #[error("target_gap is {value}; it must be finite and not negative, e.g. 0.0005 for 0.05 %")]
    TargetGap {
        /// The gap as text.
        value: String,
    },
    /// No model of synthetic loads has this name.
    #[error(
        "unknown model '{}'; choose from {}",
        name.escape_debug(),
        crate::sampling::MODELS.map(|model| model.name).join(", ")
    )]
    UnknownModel {
        /// The name given.
        name: String,
    },
    /// No family of synthetic loads has this name.
    #[error(
        "unknown family '{}'; choose from {}",
        name.escape_debug(),
        crate::sampling::Family::names().join(", ")
    )]
    UnknownFamily {
        /// The name given.
        name: String,
    },
    /// An option of synthetic loads that is out of range.
    #[error("{name} is {value}; it must be {expected}")]
    SampleOption {
        /// Name of the option.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is accepted.
        expected: String,
    },
    /// More slots on a GPU than experts to fill them with, where none may be there twice.
    #[error(
        "minimax puts no expert twice on a GPU, but {replicas} replicas on {gpus} GPUs are {per_gpu} \
         on each, and {}; give num_replicas={most} or less, or a policy that does (deepseek, adaptive)",
        if *nodes == 1 {
            format!("there are {experts} experts")
        } else {
            format!("each of {nodes} nodes holds {} of the {experts} experts", experts / nodes)
        }
    )]
    TooFewExperts {
        /// Experts per layer.
        experts: usize,
        /// Slots per layer.
        replicas: usize,
        /// Slots of a GPU.
        per_gpu: usize,
        /// GPUs of all nodes.
        gpus: usize,
        /// Nodes that the groups are packed on.
        nodes: usize,
        /// The most slots that would do.
        most: usize,
    },
    /// No threads to plan with.
    #[error("threads is 0; it must be at least 1")]
    NoThreads,
    /// A table of a plan has the wrong number of entries.
    #[error("{name} has {found} entries; layers * {per_layer_name} = {expected} are needed")]
    TableSize {
        /// Name of the table.
        name: &'static str,
        /// Entries found.
        found: usize,
        /// Entries needed.
        expected: usize,
        /// What a layer's entries are counted by.
        per_layer_name: &'static str,
    },
    /// A slot that holds no expert of the model.
    #[error("layer {layer}, slot {slot}: expert {expert} is not one of the {experts} experts")]
    NoSuchExpert {
        /// Layer of the slot.
        layer: usize,
        /// Slot, `0..num_replicas`.
        slot: usize,
        /// What the slot is said to hold.
        expert: i64,
        /// Experts per layer.
        experts: usize,
    },
    /// An expert without a slot.
    #[error("layer {layer}: expert {expert} has no slot; every expert needs at least one")]
    MissingExpert {
        /// Layer without the expert.
        layer: usize,
        /// The expert.
        expert: usize,
    },
    /// A plan that says something false of itself, found by [`crate::verify`](fn@crate::verify).
    #[error("{}{claim}", place(*layer, *slot, *expert))]
    Verification {
        /// Layer where it is false; none where it is the whole plan's.
        layer: Option<usize>,
        /// Slot where it is false, if it is a slot's.
        slot: Option<usize>,
        /// Expert of which it is false, if it is an expert's.
        expert: Option<usize>,
        /// What the plan says and what is so.
        claim: String,
    },
}

/// The families of errors, each an exception class of its own in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something is wrong with the loads.
    Load,
    /// Something is wrong with the sizes.
    Topology,
    /// Something is wrong with an option.
    Option,
    /// A placement is none, or a plan says something false of itself.
    Verification,
}

impl Error {
    /// The family this error belongs to.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::LoadValue { .. } | Self::LoadShape { .. } | Self::LoadMismatch { .. } => {
                ErrorKind::Load
            }
            Self::ZeroSize { .. }
            | Self::TooLarge { .. }
            | Self::TooManySlots { .. }
            | Self::OutOfMemory { .. }
            | Self::FewerReplicasThanExperts { .. }
            | Self::TooFewExperts { .. }
            | Self::NotDivisible { .. } => ErrorKind::Topology,
            Self::UnknownPolicy { .. }
            | Self::UnknownEffort { .. }
            | Self::TargetGap { .. }
            | Self::UnknownModel { .. }
            | Self::UnknownFamily { .. }
            | Self::SampleOption { .. }
            | Self::NoThreads => ErrorKind::Option,
            Self::TableSize { .. }
            | Self::NoSuchExpert { .. }
            | Self::MissingExpert { .. }
            | Self::Verification { .. } => ErrorKind::Verification,
        }
    }

    /// Layer, slot and expert that the error names, where it names them.
    #[must_use]
    pub fn place(&self) -> (Option<usize>, Option<usize>, Option<usize>) {
        match *self {
            Self::LoadValue { layer, expert, .. } | Self::MissingExpert { layer, expert } => {
                (Some(layer), None, Some(expert))
            }
            Self::NoSuchExpert { layer, slot, .. } => (Some(layer), Some(slot), None),
            Self::Verification { layer, slot, expert, .. } => (layer, slot, expert),
            _ => (None, None, None),
        }
    }
}

/// `"layer 3, slot 17, expert 5: "`, of what is known.
fn place(layer: Option<usize>, slot: Option<usize>, expert: Option<usize>) -> String {
    let parts: Vec<String> = [("layer", layer), ("slot", slot), ("expert", expert)]
        .into_iter()
        .filter_map(|(name, index)| index.map(|index| format!("{name} {index}")))
        .collect();
    if parts.is_empty() { String::new() } else { parts.join(", ") + ": " }
}
