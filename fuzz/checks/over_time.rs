//! Histories of any windows, and updates of any placement in force: refused with reason, or valid,
//! within all limits, and the same on several threads.

use std::collections::BTreeSet;

use eplb_core::{
    CanonicalLoads, Cluster, HistoryOptions, LoadHistory, Migration, MigrationOptions, MoveLimit,
    Previous, Sizes, Topology, replan, transfers, verify_structure,
};

use super::Bytes;

/// A placement in force, as [`Previous`], and its owner.
struct Held {
    phy2log: Vec<i64>,
    cluster: Cluster,
}

/// Makes sizes, windows, a placement in force and options from `bytes`, and plans an update.
pub(crate) fn check(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let sizes = bytes.small_sizes();
    let topology = Topology::new(sizes).expect("these sizes go together");
    let layers = 1 + bytes.below(2) as usize;
    let history = history(&mut bytes, layers, topology.num_experts());
    let history = changed(&mut bytes, history);
    let held = (bytes.below(4) > 0).then(|| held(&mut bytes, &sizes, layers));
    let options = options(&mut bytes);
    let previous =
        held.as_ref().map(|held| Previous { phy2log: &held.phy2log, cluster: &held.cluster });
    let made = replan(&history, &topology, previous, options, 1);
    assert_eq!(made, replan(&history, &topology, previous, options, 3));
    let fits = topology.slots_per_gpu() <= topology.num_experts() / topology.nodes();
    let known = held.as_ref().is_none_or(|held| held.is_known(layers, topology.num_experts()));
    let Ok(made) = made else {
        assert!(!fits || !known, "{made:?}");
        return;
    };
    assert!(fits && known);
    check_placement(&made, &topology, held.as_ref(), options.fill);
    check_limits(&made, &history, options, held.as_ref());
    if let Some(previous) = previous {
        check_transfers(previous, &made, &topology);
    }
}

/// Windows of any loads, some of them like the one before.
fn history(bytes: &mut Bytes<'_>, layers: usize, experts: usize) -> LoadHistory {
    let rows = 3 + bytes.below(30) as u32;
    let decay = match bytes.below(5) {
        0 => 1,
        1 => 65536,
        2 => 1 + bytes.number() as u32 % 65536,
        _ => 64225,
    };
    let mut history = LoadHistory::new(layers, experts, HistoryOptions { rows, decay })
        .expect("rows and decay are possible");
    let mut window = vec![0_u64; layers * experts];
    for _ in 0..bytes.below(48) {
        match bytes.below(8) {
            0 => window.fill_with(|| bytes.below(255)),
            1 => window.fill_with(|| bytes.below(4)),
            2 => window.fill_with(|| 1 << bytes.below(64)),
            3 => window.fill(0),
            4 => window.rotate_left(1),
            5 => {}
            _ => {
                for _ in 0..bytes.below(4) {
                    let at = bytes.number() as usize % window.len();
                    window[at] = bytes.edge();
                }
            }
        }
        let loads = CanonicalLoads::new(&window, layers, experts).expect("all integers are loads");
        history.observe(&loads, 1).expect("the window is of this model");
    }
    history
}

/// The history, or one with another state if that is possible.
fn changed(bytes: &mut Bytes<'_>, history: LoadHistory) -> LoadHistory {
    let mut state = history.state();
    let same = LoadHistory::from_state(state.clone()).expect("it is the state of a history");
    assert_eq!((&same, same.digest()), (&history, history.digest()));
    for _ in 0..bytes.below(4) {
        let at = bytes.number() as usize;
        let value = bytes.edge();
        let layers = state.layers.len().max(1);
        let Some(layer) = state.layers.get_mut(at % layers) else { continue };
        let at = at / layers;
        let rows = layer.rows.len().max(1);
        match bytes.below(9) {
            0 => layer.rows.get_mut(at % rows).into_iter().for_each(|row| row.fill(value as u32)),
            1 => layer.weights.fill(value),
            2 => layer.weights.get_mut(at % rows).into_iter().for_each(|weight| *weight = value),
            3 => layer.nearest.push(value as u32),
            4 => layer.usual = value as u32,
            5 => layer.shifted ^= true,
            6 => drop(layer.rows.pop()),
            7 => state.exponents.push(value as i32),
            _ => state.newest[0].fill(value),
        }
    }
    LoadHistory::from_state(state).unwrap_or(history)
}

/// Mostly every expert of a node's share of them in turn, a few slots being empty or holding any
/// expert; on as many GPUs and slots as now, or not.
fn held(bytes: &mut Bytes<'_>, sizes: &Sizes, layers: usize) -> Held {
    let (nodes, experts) = match sizes.num_nodes {
        7 => (1, sizes.num_experts as usize),
        nodes => (nodes as usize, sizes.num_experts as usize),
    };
    let mut num_gpus = sizes.num_gpus as usize;
    let mut per_gpu = (sizes.num_replicas / sizes.num_gpus) as usize;
    match bytes.below(8) {
        0 => num_gpus = 1 + bytes.below(48) as usize,
        1 => per_gpu = 1 + bytes.below(16) as usize,
        _ => {}
    }
    let num_slots = num_gpus * per_gpu;
    let (node_slots, node_experts) = (num_slots.div_ceil(nodes), experts / nodes);
    let turn = bytes.below(32) as usize;
    let in_turn =
        |slot: usize| slot / node_slots * node_experts + (slot + turn) % node_slots % node_experts;
    let mut phy2log: Vec<i64> =
        (0..layers * num_slots).map(|slot| in_turn(slot % num_slots) as i64).collect();
    for _ in 0..bytes.below(24) {
        let at = bytes.number() as usize % phy2log.len();
        match bytes.below(4) {
            0 => phy2log[at] = bytes.below(255) as i64 % (experts as i64 + 1) - 1,
            1 => phy2log[at] = phy2log[at.saturating_sub(1)],
            2 => phy2log[at] = -1,
            // A GPU is lost.
            _ => phy2log[at / per_gpu * per_gpu..][..per_gpu].fill(-1),
        }
    }
    if bytes.below(32) == 1 {
        let at = bytes.number() as usize % phy2log.len();
        phy2log[at] = bytes.edge() as i64;
    }
    if bytes.below(32) == 1 {
        phy2log.truncate(bytes.number() as usize % phy2log.len());
    }
    let cluster = Cluster::uniform(num_gpus as u64, per_gpu as u64, 1).expect("a small cluster");
    Held { phy2log, cluster }
}

impl Held {
    /// Whether it has whole layers, and experts of the model alone.
    fn is_known(&self, layers: usize, experts: usize) -> bool {
        self.phy2log.len() == layers * self.cluster.num_slots()
            && self.phy2log.iter().all(|expert| (-1..experts as i64).contains(expert))
    }

    fn per_gpu(&self) -> usize {
        self.cluster.num_slots() / self.cluster.num_gpus()
    }

    /// What a GPU holds, nothing if it is new.
    fn on(&self, layer: usize, gpu: usize) -> &[i64] {
        if gpu >= self.cluster.num_gpus() {
            return &[];
        }
        &self.phy2log[layer * self.cluster.num_slots()..][self.cluster.slots_of(gpu)]
    }
}

fn options(bytes: &mut Bytes<'_>) -> MigrationOptions {
    let mut limit = || match bytes.below(4) {
        0 => MoveLimit::Number(bytes.below(30)),
        1 => MoveLimit::Number(bytes.edge()),
        2 => MoveLimit::Share(bytes.edge() as u32),
        _ => MoveLimit::Share(200_000),
    };
    let [max_moves, max_moves_after_shift] = [limit(), limit()];
    MigrationOptions {
        move_price: match bytes.below(4) {
            0 => 0,
            1 => bytes.edge() as u32,
            2 => 1_000,
            _ => 10_000,
        },
        max_moves,
        max_moves_after_shift,
        max_copies: (bytes.below(2) == 1).then(|| bytes.below(60)),
        fill: bytes.below(2) == 1,
    }
}

fn count(slots: &[i64], expert: i64) -> usize {
    slots.iter().filter(|&&held| held == expert).count()
}

/// Every expert has a slot, groups are whole, and no GPU has an expert twice that it did not have so.
fn check_placement(made: &Migration, topology: &Topology, held: Option<&Held>, fill: bool) {
    verify_structure(&made.placement).expect("the placement is valid");
    let (slots, per_gpu) = (topology.num_replicas(), topology.slots_per_gpu());
    for (layer, row) in made.placement.phy2log().chunks_exact(slots).enumerate() {
        let (mut copies, mut filled) = (0, 0);
        for (gpu, now) in row.chunks_exact(per_gpu).enumerate() {
            let before = held.map_or(&[][..], |held| held.on(layer, gpu));
            for (position, &expert) in now.iter().enumerate().filter(|&(_, &expert)| expert >= 0) {
                filled += 1;
                copies += u64::from(!before.contains(&expert));
                assert!(count(now, expert) <= count(before, expert).max(1), "{expert} twice");
                // What stays on a GPU stays in its slot; so does a second replica.
                if before.get(position) != Some(&expert) && before.contains(&expert) {
                    assert!(
                        before.iter().skip(per_gpu).any(|&moved| moved == expert),
                        "{before:?} {now:?} {expert} {position} {fill} {}",
                        topology.nodes()
                    );
                }
            }
        }
        assert_eq!(made.layers[layer].copies, copies);
        assert_eq!(made.layers[layer].kept, copies == 0);
        assert!(filled == slots || (held.is_some() && !fill), "a slot is empty");
    }
}

/// What is moved is within the limits, but for experts that had no replica.
fn check_limits(
    made: &Migration,
    history: &LoadHistory,
    options: MigrationOptions,
    held: Option<&Held>,
) {
    let topology = made.placement.topology();
    let copies = |limit: MoveLimit| match limit {
        MoveLimit::Number(number) => number,
        MoveLimit::Share(share) => {
            (topology.num_replicas() as u64 * u64::from(share)).div_ceil(1_000_000)
        }
    };
    let mut repaired = 0;
    for (layer, made) in made.layers.iter().enumerate() {
        assert!(made.objective[1] <= made.objective[0]);
        assert_eq!(made.shifted, history.shifted()[layer]);
        let Some(held) = held else { continue };
        let there: BTreeSet<i64> =
            (0..topology.num_gpus()).flat_map(|gpu| held.on(layer, gpu)).copied().collect();
        let there = there.iter().filter(|&&expert| expert >= 0).count();
        // With fewer slots on a GPU than before, or groups on other nodes, some experts may have to leave.
        let exact =
            held.per_gpu() <= topology.slots_per_gpu() && topology.nodes() == 1 && !options.fill;
        let gone = topology.num_gpus()..held.cluster.num_gpus().max(topology.num_gpus());
        let loses = gone.flat_map(|gpu| held.on(layer, gpu)).any(|&expert| expert >= 0);
        // Slots that are filled, and experts that make room for them, come beside.
        let filled = if exact { 0 } else { there + 2 * topology.num_replicas() };
        let unplaced = topology.num_experts() + filled - there;
        let mut most = copies(options.max_moves);
        if unplaced > 0 || loses || made.shifted {
            let after = copies(options.max_moves_after_shift);
            most = if exact { after } else { most.max(after) };
        }
        if history.rows()[layer] == 0 {
            most = 0;
        }
        assert!(made.copies <= most.saturating_add(unplaced as u64), "{made:?}, {most}");
        repaired += unplaced as u64;
    }
    if let (Some(most), Some(_)) = (options.max_copies, held) {
        let all: u64 = made.layers.iter().map(|layer| layer.copies).sum();
        assert!(all <= most.saturating_add(repaired), "{all}, {most}");
    }
}

/// There is one transfer for each slot that gets an expert, and what it overwrites is no secret.
fn check_transfers(previous: Previous<'_>, made: &Migration, topology: &Topology) {
    let list = transfers(previous, made.placement.phy2log(), topology).expect("both fit");
    let (slots, per_gpu) = (topology.num_replicas(), topology.slots_per_gpu());
    let Previous { phy2log, cluster } = previous;
    let mut written = BTreeSet::new();
    for (layer, row) in made.placement.phy2log().chunks_exact(slots).enumerate() {
        let old = &phy2log[layer * cluster.num_slots()..][..cluster.num_slots()];
        for (slot, &expert) in row.iter().enumerate() {
            let (gpu, position) = (slot / per_gpu, slot % per_gpu);
            let same = gpu < cluster.num_gpus()
                && old[cluster.slots_of(gpu)].get(position) == Some(&expert);
            if expert >= 0 && !same {
                written.insert((layer, gpu, position, expert as usize));
            }
        }
    }
    assert_eq!(list.len(), written.len());
    for transfer in list {
        let to = transfer.destination;
        assert!(written.remove(&(transfer.layer, to.gpu, to.position, transfer.expert)));
    }
}
