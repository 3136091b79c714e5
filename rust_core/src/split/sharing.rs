//! Which experts of a layer can share their load among GPUs, and which load is fixed.
//!
//! Nothing here depends on the numbers of experts, only on the slots that hold them: experts that are
//! numbered in another way have the same shares.

use std::ops::Range;

use crate::placement::EMPTY;
use crate::problem::cluster::Cluster;
use crate::problem::ratio::Fraction;

/// An expert with load that several GPUs hold.
#[derive(Debug)]
pub(super) struct SharedExpert {
    pub(super) load: u64,
    /// Replicas on all GPUs.
    pub(super) replicas: u64,
    /// Its holdings among [`Sharing::holdings`], by GPU.
    pub(super) holdings: Range<usize>,
}

/// A GPU that holds a shared expert, once or more often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holding {
    pub(super) gpu: usize,
    /// Index of the shared expert.
    pub(super) expert: usize,
    /// Replicas of the expert on this GPU.
    pub(super) replicas: u64,
}

/// One layer.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) speed: Vec<u64>,
    /// Whether a GPU holds any expert.
    pub(super) holds: Vec<bool>,
    /// The load of experts that no other GPU holds, of each GPU.
    pub(super) fixed: Vec<u64>,
    pub(super) experts: Vec<SharedExpert>,
    /// Of all shared experts, one after the other.
    pub(super) holdings: Vec<Holding>,
    /// Holdings by GPU, in the order of slots.
    pub(super) on_gpu: Vec<Vec<usize>>,
    /// The logical expert of each of [`Self::experts`], and the other way round.
    pub(super) shared_experts: Vec<usize>,
    pub(super) shared: Vec<Option<usize>>,
}

impl Sharing {
    /// The layer with these slots, replicas and canonical loads.
    pub(super) fn new(phy2log: &[i64], logcnt: &[i64], loads: &[u64], cluster: &Cluster) -> Self {
        let gpus = cluster.num_gpus();
        let held = |gpu| phy2log[cluster.slots_of(gpu)].iter().filter(|&&expert| expert != EMPTY);
        // GPUs that hold each expert, and the last of them.
        let mut holders = vec![(0_usize, usize::MAX); loads.len()];
        for gpu in 0..gpus {
            for &expert in held(gpu) {
                let (count, last) = &mut holders[expert as usize];
                *count += usize::from(*last != gpu);
                *last = gpu;
            }
        }
        let mut sharing = Self {
            speed: cluster.gpus().iter().map(|gpu| gpu.speed.into()).collect(),
            holds: (0..gpus).map(|gpu| held(gpu).next().is_some()).collect(),
            fixed: vec![0; gpus],
            experts: Vec::new(),
            holdings: Vec::new(),
            on_gpu: vec![Vec::new(); gpus],
            shared_experts: Vec::new(),
            shared: vec![None; loads.len()],
        };
        let mut end = 0;
        for (expert, &(count, last)) in holders.iter().enumerate() {
            if count == 1 {
                sharing.fixed[last] += loads[expert];
            } else if loads[expert] > 0 {
                sharing.shared[expert] = Some(sharing.experts.len());
                sharing.shared_experts.push(expert);
                let (load, replicas) = (loads[expert], logcnt[expert] as u64);
                sharing.experts.push(SharedExpert { load, replicas, holdings: end..end });
                end += count;
            }
        }
        let nowhere = Holding { gpu: usize::MAX, expert: 0, replicas: 0 };
        sharing.holdings.resize(end, nowhere);
        for gpu in 0..gpus {
            for &expert in held(gpu) {
                if let Some(expert) = sharing.shared[expert as usize] {
                    sharing.hold(gpu, expert);
                }
            }
        }
        sharing
    }

    /// Adds a replica. GPUs come in ascending order.
    fn hold(&mut self, gpu: usize, expert: usize) {
        let all = &mut self.experts[expert].holdings;
        if all.end > all.start && self.holdings[all.end - 1].gpu == gpu {
            self.holdings[all.end - 1].replicas += 1;
            return;
        }
        self.holdings[all.end] = Holding { gpu, expert, replicas: 1 };
        self.on_gpu[gpu].push(all.end);
        all.end += 1;
    }

    /// The load of the experts that only these GPUs hold, divided by their speeds together: what one of
    /// them takes at least.
    pub(super) fn least_time(&self, among: &[bool]) -> Fraction {
        let fixed = self.fixed.iter().zip(among).filter(|&(_, &among)| among);
        let mut load: u64 = fixed.map(|(&load, _)| load).sum();
        for expert in &self.experts {
            if self.holdings[expert.holdings.clone()].iter().all(|holding| among[holding.gpu]) {
                load += expert.load;
            }
        }
        let speeds = self.speed.iter().zip(among).filter(|&(_, &among)| among);
        let speed: u64 = speeds.map(|(&speed, _)| speed).sum();
        Fraction::of(load.into(), speed.into())
    }
}
