use super::gpus::Gpus;
use super::layout::Layout;
use super::place::Placer;
use super::transfer;
use crate::minimax::replica_counts::ReplicaCounts;
use crate::problem::cluster::{Cluster, Gpu, GpuState};
use crate::problem::topology::Topology;
use crate::problems::SplitMix64;

fn gpus(stream: &mut SplitMix64, experts: u64) -> Option<Gpus> {
    let gpu = |_| {
        let slots = 1 + stream.below(experts) as u32;
        Gpu { node: 0, slots, speed: 1 + stream.below(9) as u32, state: GpuState::Live }
    };
    let all: Vec<Gpu> = (0..2 + experts % 5).map(gpu).collect();
    let topology = Topology::of_cluster(experts, 1, Cluster::new(all).ok()?).ok()?;
    Gpus::zones(&topology).pop()
}

/// Loads in descending order.
fn descending(stream: &mut SplitMix64, experts: u64) -> Vec<u64> {
    let most = 1 << stream.below(20);
    let mut loads: Vec<u64> = (0..experts).map(|_| stream.below(most)).collect();
    loads.sort_unstable_by(|a, b| b.cmp(a));
    loads
}

/// Whether these counts fit: for every number of experts, the largest counts in the room there is.
fn fits(counts: &[u32], gpus: &Gpus) -> bool {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    (1..=sorted.len()).all(|m| {
        let room: usize = (0..gpus.len()).map(|gpu| gpus.slots(gpu).len().min(m)).sum();
        sorted[..m].iter().sum::<u32>() as usize <= room
    })
}

/// Calls `each` with all counts of so many experts that fill all slots.
fn each_count(experts: usize, slots: u32, counts: &mut Vec<u32>, each: &mut dyn FnMut(&[u32])) {
    if counts.len() == experts {
        if slots == 0 {
            each(counts);
        }
        return;
    }
    for count in 1..=slots {
        counts.push(count);
        each_count(experts, slots - count, counts, each);
        counts.pop();
    }
}

#[test]
fn counts_by_adams_are_the_best_that_fit() {
    let mut stream = SplitMix64(1);
    let mut capped = 0;
    for round in 0..600 {
        let experts = 2 + round % 4;
        let Some(gpus) = gpus(&mut stream, experts).filter(|gpus| gpus.num_slots() <= 14) else {
            continue;
        };
        let loads = descending(&mut stream, experts);
        let largest = |counts: &[u32]| {
            let shares =
                loads.iter().zip(counts).map(|(&w, &count)| w * 720_720 / u64::from(count));
            shares.max().unwrap()
        };
        let (mut least, mut unlimited) = (u64::MAX, u64::MAX);
        each_count(experts as usize, gpus.num_slots() as u32, &mut Vec::new(), &mut |counts| {
            unlimited = unlimited.min(largest(counts));
            if fits(counts, &gpus) {
                least = least.min(largest(counts));
            }
        });
        let mut counts = ReplicaCounts::default();
        counts.start_within(&loads, &gpus.room);
        counts.choose_adams();
        counts.counts.resize(experts as usize, 1);
        assert!(fits(&counts.counts, &gpus), "{:?}", counts.counts);
        assert_eq!(counts.counts.iter().sum::<u32>() as usize, gpus.num_slots());
        assert_eq!(largest(&counts.counts), least, "{loads:?} {:?}", counts.counts);
        capped += u32::from(least > unlimited);
    }
    assert!(capped > 50, "{capped}");
}

/// All slots hold what they should, in order, and loads are those of what is held.
fn check(gpus: &Gpus, layout: &Layout) {
    let mut found = vec![0; layout.count.len()];
    for gpu in 0..gpus.len() {
        let on = layout.on(gpus, gpu);
        let key = |expert: u32| (std::cmp::Reverse(layout.share(expert)), expert);
        assert!(on.windows(2).all(|pair| key(pair[0]) < key(pair[1])), "{on:?}: not in order");
        assert_eq!(layout.load[gpu], on.iter().map(|&expert| layout.share(expert)).sum::<u64>());
        for &expert in on {
            found[expert as usize] += 1;
        }
    }
    assert_eq!(found, layout.count);
}

#[test]
fn whatever_fits_is_placed_and_moves_keep_it_a_plan() {
    let mut stream = SplitMix64(2);
    let (mut placed, mut crowded) = (0, 0);
    for round in 0..4000 {
        let experts = 2 + round % 9;
        let Some(gpus) = gpus(&mut stream, experts) else { continue };
        let loads = descending(&mut stream, experts);
        // Counts at random, among those that fit.
        let mut counts = vec![1; experts as usize];
        while counts.iter().sum::<u32>() < gpus.num_slots() as u32 {
            let one = stream.below(experts) as usize;
            counts[one] += 1;
            if !fits(&counts, &gpus) {
                counts[one] -= 1;
            }
        }
        crowded += u32::from(counts.contains(&(gpus.len() as u32)));
        let (mut layout, mut placer) = (Layout::default(), Placer::default());
        layout.clear(&gpus, &loads, &counts);
        placer.place(&gpus, &mut layout);
        check(&gpus, &layout);
        placed += 1;
        let from = layout.busiest(&gpus);
        let longer =
            |gpu: usize| gpus.is_longer((gpu, layout.load[gpu]), (from, layout.load[from]));
        assert!(!(0..gpus.len()).any(longer));
        let mut transfers = Vec::new();
        transfer::list(&gpus, &layout, &loads, from, 5, &mut transfers);
        for transfer in transfers {
            let mut after = layout.clone();
            let (gpu, donor) = (transfer.gpu as usize, transfer.donor);
            after.reassign(&gpus, &loads, gpu, donor, transfer.receiver);
            check(&gpus, &after);
            assert!(
                after.load[from] <= layout.load[from] || layout.on(&gpus, from).contains(&donor)
            );
        }
    }
    assert!(placed > 2000 && crowded > 1000, "{placed} {crowded}");
}
