//! The structure of a placement: what can be checked without loads.

use std::ops::Range;

use crate::error::{Error, Place};
use crate::placement::Placement;
use crate::problem::cluster::GpuState;
use crate::problem::topology::Topology;

/// A watch is asked after about so many slots and experts, but not within a layer,
const WATCHED_ENTRIES: usize = 1 << 16;

/// and at least after so many layers: the packings of a small one may take a millisecond.
const WATCHED_LAYERS: usize = 64;

/// Checks what needs no loads: every expert has a slot, every slot is empty (-1) or has an expert of
/// the model, counts and ranks are those of the slots, and groups are whole on their nodes, equally
/// many on each.
///
/// # Errors
/// The first thing that is false.
pub fn verify_structure(placement: &Placement) -> Result<(), Error> {
    verify_structure_watched(placement, &mut || Ok(()))
}

/// The same, with a `watch` that may end it.
pub(super) fn verify_structure_watched<E: From<Error>>(
    placement: &Placement,
    watch: &mut impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    check_sizes(placement)?;
    for layer in watched(0..placement.layers(), placement.topology(), watch) {
        check_layer(layer?, placement)?;
    }
    Ok(())
}

/// Each of these layers, with calls of `watch` between them: one before the first, and one before
/// every layer if they are large.
pub(super) fn watched<E>(
    layers: Range<usize>,
    topology: &Topology,
    watch: &mut impl FnMut() -> Result<(), E>,
) -> impl Iterator<Item = Result<usize, E>> {
    let entries = topology.num_experts() + topology.num_replicas();
    let unwatched = (WATCHED_ENTRIES / entries).clamp(1, WATCHED_LAYERS);
    layers.map(move |layer| {
        if layer % unwatched == 0 {
            watch()?;
        }
        Ok(layer)
    })
}

fn check_sizes(placement: &Placement) -> Result<(), Error> {
    let (slots, experts) =
        (placement.topology().num_replicas(), placement.topology().num_experts());
    let sizes = [
        ("phy2log", placement.phy2log().len(), slots),
        ("rank", placement.rank().len(), slots),
        ("logcnt", placement.logcnt().len(), experts),
    ];
    for (name, found, per_layer) in sizes {
        if placement.layers() == 0 || Some(found) != placement.layers().checked_mul(per_layer) {
            let claim =
                format!("{name} has {found} entries, not {} x {per_layer}", placement.layers());
            return Err(Error::falsehood(Place::default(), claim));
        }
    }
    Ok(())
}

fn check_layer(layer: usize, placement: &Placement) -> Result<(), Error> {
    let topology = placement.topology();
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    let phy2log = &placement.phy2log()[layer * slots..][..slots];
    let rank = &placement.rank()[layer * slots..][..slots];
    let logcnt = &placement.logcnt()[layer * experts..][..experts];
    check_copies(layer, phy2log, rank, logcnt)?;
    check_unused(layer, phy2log, topology)?;
    check_groups(layer, phy2log, topology)
}

/// Every expert has `logcnt` slots, at least one, whose ranks are 0, 1, ..., `logcnt` - 1.
fn check_copies(layer: usize, phy2log: &[i64], rank: &[i64], logcnt: &[i64]) -> Result<(), Error> {
    let experts = logcnt.len();
    let mut replicas = vec![0_usize; experts];
    for (slot, &expert) in phy2log.iter().enumerate().filter(|&(_, &expert)| expert != -1) {
        let Some(replicas) = usize::try_from(expert).ok().and_then(|e| replicas.get_mut(e)) else {
            let claim = format!("holds expert {expert}, but there are {experts} experts");
            return Err(Error::falsehood(Place::slot(layer, slot), claim));
        };
        *replicas += 1;
    }
    for (expert, (&held, &said)) in replicas.iter().zip(logcnt).enumerate() {
        let claim = match held {
            0 => "has no slot".to_owned(),
            _ if held as i64 != said => {
                format!("logcnt says {said} replicas, but {held} slots hold it")
            }
            _ => continue,
        };
        return Err(Error::falsehood(Place::expert(layer, expert), claim));
    }
    // Where the ranks of each expert begin in a table of all of them.
    let begin: Vec<usize> = replicas
        .iter()
        .scan(0, |end, &replicas| {
            *end += replicas;
            Some(*end - replicas)
        })
        .collect();
    let mut taken = vec![false; phy2log.len()];
    for (slot, (&expert, &rank)) in phy2log.iter().zip(rank).enumerate() {
        if expert == -1 {
            if rank != -1 {
                let claim = format!("rank {rank} of an empty slot is not -1");
                return Err(Error::falsehood(Place::slot(layer, slot), claim));
            }
            continue;
        }
        let expert = expert as usize;
        let claim = match usize::try_from(rank) {
            Ok(rank) if rank < replicas[expert] => {
                if !std::mem::replace(&mut taken[begin[expert] + rank], true) {
                    continue;
                }
                format!("rank {rank} belongs to another replica")
            }
            _ => format!("rank {rank} is not one of 0..{}", replicas[expert]),
        };
        return Err(Error::falsehood(whole(layer, slot, expert), claim));
    }
    Ok(())
}

/// GPUs that are not live hold nothing.
fn check_unused(layer: usize, phy2log: &[i64], topology: &Topology) -> Result<(), Error> {
    let cluster = topology.cluster();
    for (gpu, state) in cluster.gpus().iter().map(|gpu| gpu.state).enumerate() {
        let is = match state {
            GpuState::Live => continue,
            GpuState::Draining => "is drained",
            GpuState::Dead => "is dead",
        };
        if let Some(slot) = cluster.slots_of(gpu).find(|&slot| phy2log[slot] != -1) {
            let claim = format!("has a slot on GPU {gpu}, which {is}");
            let place = whole(layer, slot, phy2log[slot] as usize);
            return Err(Error::falsehood(place, claim));
        }
    }
    Ok(())
}

/// In a hierarchical plan the experts of a group are all on one node, and nodes hold equally many
/// groups.
fn check_groups(layer: usize, phy2log: &[i64], topology: &Topology) -> Result<(), Error> {
    let (groups, nodes, cluster) = (topology.groups(), topology.nodes(), topology.cluster());
    let group_size = topology.num_experts() / groups;
    let used_nodes = cluster.used_nodes();
    let mut node_of_group = vec![None; groups];
    let mut groups_on_node = vec![0; nodes];
    for (gpu, on) in cluster.gpus().iter().enumerate() {
        // Among the nodes that hold experts.
        let among_used = || used_nodes.partition_point(|&used| used < on.node);
        let node = if topology.is_global() { 0 } else { among_used() };
        for slot in cluster.slots_of(gpu).filter(|&slot| phy2log[slot] != -1) {
            let group = phy2log[slot] as usize / group_size;
            match node_of_group[group] {
                None => {
                    node_of_group[group] = Some(node);
                    groups_on_node[node] += 1;
                }
                Some(home) if home != node => {
                    let (node, home) = (used_nodes[node], used_nodes[home]);
                    let claim = format!("is on node {node}, but group {group} is on node {home}");
                    let place = whole(layer, slot, phy2log[slot] as usize);
                    return Err(Error::falsehood(place, claim));
                }
                Some(_) => {}
            }
        }
    }
    if let Some(node) = groups_on_node.iter().position(|&held| held != groups / nodes) {
        let held = groups_on_node[node];
        let node = if topology.is_global() { 0 } else { used_nodes[node] };
        let claim = format!("node {node} holds {held} groups instead of {}", groups / nodes);
        return Err(Error::falsehood(Place::layer(layer), claim));
    }
    Ok(())
}

fn whole(layer: usize, slot: usize, expert: usize) -> Place {
    Place { expert: Some(expert), ..Place::slot(layer, slot) }
}
