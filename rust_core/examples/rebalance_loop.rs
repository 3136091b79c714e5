//! A rebalance loop on four ranks, which are threads here: `cargo run --example rebalance_loop`.
//!
//! Each rank counts the tokens of its own requests. The counts are summed, every rank plans for
//! itself, the digests are compared, and weights move step by step. The weights here are numbers
//! that say which expert they are, so that the loop can check that each lies where the map says.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use eplb_core::sampling::Family;
use eplb_core::{
    CanonicalLoads, Cluster, Error, HistoryOptions, LoadHistory, MigrationOptions, Previous, Slot,
    Topology, Transfer, replan, transfers,
};

const RANKS: usize = 4;
const LAYERS: usize = 3;
const EXPERTS: usize = 64;
const SLOTS: usize = 80;
const PER_RANK: usize = SLOTS / RANKS;
const WINDOWS: u64 = 8;

/// What ranks have in common: an engine has collectives and transfers between GPUs in its place.
struct Network {
    barrier: Barrier,
    counts: Mutex<Vec<u64>>,
    digests: Mutex<Vec<String>>,
    /// The weights in each slot of each layer.
    weights: Mutex<Vec<u64>>,
}

impl Network {
    /// The sum of the counts of all ranks.
    fn all_reduce(&self, mine: &[u64]) -> Vec<u64> {
        for (sum, count) in self.counts.lock().unwrap().iter_mut().zip(mine) {
            *sum += count;
        }
        self.barrier.wait();
        let sums = self.counts.lock().unwrap().clone();
        if self.barrier.wait().is_leader() {
            self.counts.lock().unwrap().fill(0);
        }
        self.barrier.wait();
        sums
    }

    /// Whether all ranks have this digest.
    fn all_have(&self, digest: &str) -> bool {
        self.digests.lock().unwrap().push(digest.to_owned());
        self.barrier.wait();
        let equal = self.digests.lock().unwrap().iter().all(|each| each == digest);
        if self.barrier.wait().is_leader() {
            self.digests.lock().unwrap().clear();
        }
        self.barrier.wait();
        equal
    }

    /// The transfers of one step of all layers whose destination is this rank. All transfers read
    /// before one writes.
    fn step(&self, moved: &[Transfer], step: usize, rank: usize) {
        let cell = |layer: usize, slot: Slot| layer * SLOTS + slot.gpu * PER_RANK + slot.position;
        let mine = |each: &&Transfer| each.step == step && each.destination.gpu == rank;
        let arrived: Vec<(usize, u64)> = moved
            .iter()
            .filter(mine)
            .map(|each| {
                let source = each.source.expect("every expert has a slot");
                let weights = self.weights.lock().unwrap()[cell(each.layer, source)];
                (cell(each.layer, each.destination), weights)
            })
            .collect();
        self.barrier.wait();
        for (destination, weights) in arrived {
            self.weights.lock().unwrap()[destination] = weights;
        }
        self.barrier.wait();
    }
}

/// The weights of an expert.
fn weights_of(layer: usize, expert: i64) -> u64 {
    1000 * layer as u64 + expert as u64
}

/// What a rank does. Returns the copies of each update.
fn rank_loop(rank: usize, network: &Network) -> Result<Vec<usize>, Error> {
    let topology = Topology::of_cluster(
        EXPERTS as u64,
        1,
        Cluster::uniform(RANKS as u64, PER_RANK as u64, 1)?,
    )?;
    let mut history = LoadHistory::new(LAYERS, EXPERTS, HistoryOptions::default())?;
    let mut phy2log = start();
    let mut copies = Vec::new();
    for window in 0..WINDOWS {
        // This rank saw a part of the tokens.
        let usual = Family::LogNormal1.loads(LAYERS as u64, EXPERTS as u64, 5)?;
        let noise = Family::LogNormal05.loads(LAYERS as u64, EXPERTS as u64, window)?;
        let part = rank as u64 + 1;
        let mine: Vec<u64> =
            usual.iter().zip(&noise).map(|(usual, noise)| part * (4 * usual + noise)).collect();
        let load = network.all_reduce(&mine);

        history.observe(&CanonicalLoads::new(&load, LAYERS, EXPERTS)?, 1)?;
        let previous = Previous { phy2log: &phy2log, cluster: topology.cluster() };
        let update = replan(&history, &topology, Some(previous), MigrationOptions::default(), 1)?;
        let digest = format!("{}{}", history.digest(), update.placement.digest());
        assert!(network.all_have(&digest), "ranks disagree");

        let moved = transfers(previous, update.placement.phy2log(), &topology)?;
        let steps = moved.iter().map(|each| each.step + 1).max().unwrap_or(0);
        for step in 0..steps {
            network.step(&moved, step, rank); // A real engine switches its map after each step.
        }
        phy2log = update.placement.phy2log().to_vec();
        for (index, &expert) in phy2log.iter().enumerate() {
            let held = network.weights.lock().unwrap()[index];
            assert_eq!(held, weights_of(index / SLOTS, expert), "weights are in a wrong slot");
        }
        copies.push(update.layers.iter().map(|layer| layer.copies as usize).sum());
    }
    Ok(copies)
}

/// The map at start.
fn start() -> Vec<i64> {
    (0..LAYERS * SLOTS).map(|index| (index % SLOTS % EXPERTS) as i64).collect()
}

/// Runs the ranks. Returns the copies of each update.
fn run() -> Vec<usize> {
    let weights =
        start().into_iter().enumerate().map(|(at, expert)| weights_of(at / SLOTS, expert));
    let network = Arc::new(Network {
        barrier: Barrier::new(RANKS),
        counts: Mutex::new(vec![0; LAYERS * EXPERTS]),
        digests: Mutex::new(Vec::new()),
        weights: Mutex::new(weights.collect()),
    });
    let ranks = (0..RANKS).map(|rank| {
        let network = Arc::clone(&network);
        thread::spawn(move || rank_loop(rank, &network).expect("the inputs are valid"))
    });
    let copies: Vec<_> =
        ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join().unwrap()).collect();
    assert!(copies.iter().all(|each| each == &copies[0]));
    copies[0].clone()
}

fn main() {
    for (window, copies) in run().iter().enumerate() {
        println!("window {window}: {copies} copies of {} slots", LAYERS * SLOTS);
    }
}

#[test]
fn weights_are_where_the_map_says() {
    let copies = run();
    assert!(copies[0] > 0);
    assert!(copies[1..].iter().all(|&each| each < copies[0]));
}
