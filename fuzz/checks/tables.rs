//! Any tables and any certificate, as from a stranger's file: true ones are accepted, others
//! refused, nothing panics.

use eplb_core::{CanonicalLoads, Placement, Topology, certify, verify};

use super::{Bytes, assert_verdict, change};

/// Builds a placement from `bytes`, changes entries of its tables, then of its certificate.
pub(crate) fn check(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let topology = Topology::new(bytes.small_sizes()).expect("these sizes go together");
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    let layers = 1 + bytes.below(2) as usize;
    let phy2log = placement(&mut bytes, &topology, layers);
    let Ok(plan) = Placement::from_phy2log(&phy2log, topology.clone()) else {
        return;
    };
    let mut tables = [plan.phy2log(), plan.rank(), plan.logcnt()].map(<[i64]>::to_vec);
    let mut claimed_layers = layers;
    for _ in 0..bytes.below(4) {
        let table = &mut tables[bytes.below(3) as usize];
        let at = bytes.number() as usize % table.len().max(1);
        match bytes.below(8) {
            0 => table.truncate(at),
            1 => table.push(bytes.edge() as i64),
            2 => claimed_layers = bytes.edge() as usize,
            3 if at < table.len() => table[at] = bytes.edge() as i64,
            4 if at > 0 && at < table.len() => table.swap(at, at - 1),
            _ if at < table.len() => table[at] = bytes.below(255) as i64 - 1,
            _ => {}
        }
    }
    let expected = is_plan(&topology, claimed_layers, &tables);
    let [phy2log, rank, logcnt] = tables;
    let plan = Placement::from_tables(topology.clone(), claimed_layers, phy2log, rank, logcnt);
    assert_eq!(plan.is_ok(), expected, "{:?}", plan.err());
    let Ok(plan) = plan else {
        return;
    };
    assert_eq!(plan.digest().len(), 16);
    assert_eq!(plan.duplicates().len(), layers);
    let (log2phy, width) = plan.log2phy().expect("small");
    assert_eq!(log2phy.len(), layers * experts * width);
    assert_eq!(log2phy.iter().filter(|&&slot| slot >= 0).count(), layers * slots);
    check_certificate(&mut bytes, &plan);
}

/// Mostly every expert of a node's share of them in turn, with a few slots that hold any.
fn placement(bytes: &mut Bytes<'_>, topology: &Topology, layers: usize) -> Vec<i64> {
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    let (node_slots, node_experts) = (slots / topology.nodes(), experts / topology.nodes());
    let in_turn = |slot: usize| slot / node_slots * node_experts + slot % node_slots % node_experts;
    let mut phy2log: Vec<i64> =
        (0..layers * slots).map(|slot| in_turn(slot % slots) as i64).collect();
    for _ in 0..bytes.below(16) {
        let slot = bytes.number() as usize % phy2log.len();
        phy2log[slot] = bytes.below(255) as i64 - 1;
    }
    if bytes.below(16) == 0 {
        phy2log.truncate(bytes.number() as usize % phy2log.len());
    }
    phy2log
}

/// What makes three tables a plan, from the words of the design.
fn is_plan(topology: &Topology, layers: usize, tables: &[Vec<i64>; 3]) -> bool {
    let [phy2log, rank, logcnt] = tables;
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    let filled = |table: &[i64], per_layer: usize| {
        table.len().is_multiple_of(per_layer) && table.len() / per_layer == layers
    };
    if layers == 0 || !filled(phy2log, slots) || !filled(rank, slots) || !filled(logcnt, experts) {
        return false;
    }
    (0..layers).all(|layer| {
        let phy2log = &phy2log[layer * slots..][..slots];
        let logcnt = &logcnt[layer * experts..][..experts];
        let mut copies: Vec<(i64, i64)> =
            (phy2log.iter().copied()).zip(rank[layer * slots..][..slots].iter().copied()).collect();
        copies.sort_unstable();
        let counted = (0..experts as i64).zip(logcnt);
        let expected = counted.flat_map(|(expert, &count)| {
            (0..count.min(slots as i64 + 1)).map(move |rank| (expert, rank))
        });
        logcnt.iter().all(|&count| count >= 1)
            && copies.into_iter().eq(expected)
            && groups_are_whole(topology, phy2log)
    })
}

/// Each node holds as many groups as the others, whole.
fn groups_are_whole(topology: &Topology, phy2log: &[i64]) -> bool {
    let group_size = topology.num_experts() / topology.groups();
    let mut homes: Vec<(usize, usize)> = (phy2log.iter().enumerate())
        .map(|(slot, &expert)| {
            let node = slot / (phy2log.len() / topology.nodes());
            (node, expert as usize / group_size)
        })
        .collect();
    homes.sort_unstable();
    homes.dedup();
    let per_node = topology.groups() / topology.nodes();
    // As many pairs as groups: each group has one home.
    homes.len() == topology.groups()
        && (0..topology.nodes())
            .all(|node| homes.iter().filter(|home| home.0 == node).count() == per_node)
}

fn check_certificate(bytes: &mut Bytes<'_>, plan: &Placement) {
    let (layers, experts) = (plan.layers(), plan.topology().num_experts());
    let loads: Vec<u32> =
        (0..layers * experts).map(|_| u32::from_le_bytes(bytes.array())).collect();
    let loads = CanonicalLoads::new(&loads, layers, experts).expect("all integers are loads");
    let honest = certify(plan, &loads).expect("the loads are of the plan's shape");
    assert_eq!(verify(plan, &honest, &loads), Ok(()));
    let mut changed = honest.clone();
    for _ in 0..bytes.below(4) {
        change(bytes, &mut changed);
    }
    assert_verdict(plan, &honest, &changed, &loads);
    // Floats of a certificate may be asked for before it is verified.
    for layer in &changed.layers {
        assert_eq!(layer.gpu_load_in_units().count(), layer.gpu_load.len());
        let _ = (layer.lower_bound_in_units(), layer.balancedness(), layer.gap());
    }
}
