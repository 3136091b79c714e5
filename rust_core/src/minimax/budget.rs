//! What each effort buys: the one table of the numbers that limit a search, in operations, so that
//! answers are the same on every machine.

use crate::cost::packing_bounds::MAX_PACKINGS;
use crate::error::Error;
use crate::problem::options::{Effort, Gap, Options};
use crate::problem::topology::Topology;
use crate::published::Rule;

/// With more slots per GPU there are so many single swaps that pairs are not needed, and so many pairs
/// that listing them takes longer than everything else.
pub(super) const MOST_SLOTS_FOR_PAIRS: usize = 64;

/// With more slots per GPU, shares of any two sizes come near the mean.
pub(super) const MOST_SLOTS_FOR_MIXES: usize = 16;

/// A layout may have its number of swaps once more for every so many GPUs: a swap lowers one GPU, and the
/// more GPUs there are, the more of them are above the target at first.
pub(super) const GPUS_PER_SHARE_OF_SWAPS: usize = 32;

/// Swaps aim between the peak and the target if they cannot reach the target. They stop if they miss an
/// aim that takes off at most one part in so many of what is left above the bound: smaller steps are not
/// worth another look at all replicas.
pub(super) const SMALLEST_STEP: u64 = 8;

/// Problems with fewer slots than this may try more transfers, in inverse proportion: their family of
/// counts is small, and a trial costs little.
pub(super) const SLOTS_OF_MANY_TRANSFERS: usize = 128;

/// From so many slots per GPU on, `fast` and `default` swap without reassigning columns first: a sweep
/// over the columns costs as much as a hundred swaps, and only GPUs with few slots take so many.
const MANY_SLOTS: usize = 8;

/// A sweep for so many GPUs, two at most, whatever their slots: swaps lower one GPU after the other, and
/// the more replicas there are, the more of them are compared for each. With 512 GPUs of eight slots, two
/// sweeps spare three quarters of the work.
const GPUS_PER_SWEEP: usize = 128;

/// `deepseek` is far ahead if its peak, which duplicates may have lowered, is exceeded by more than this
/// gap: the effort `fast` goes on then.
pub(super) const FAR_AHEAD: f64 = 0.01;

/// A lower peak is a gain if it takes off more than one part in so many of what is above the bound.
pub(super) const SMALLEST_GAIN: u64 = 16;

/// To list and place the replicas takes as long as to compare so many for each slot.
pub(super) const WORK_OF_PLACING: u64 = 8;

/// What one search may spend.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// The search of a layer ends within this gap to its bound.
    pub(super) gap: Gap,
    /// Shorter searches are tried too, as long as the best plan is not within this gap.
    pub(super) settled: Gap,
    /// Sweeps that reassign columns, for each layout.
    pub(super) sweeps: usize,
    /// Turns of swapping for each layout; a turn makes one swap, or aims lower.
    pub(super) swaps: usize,
    /// Replicas or pairs compared while a layout is improved, for each slot.
    pub(super) work_per_slot: u64,
    /// Replicas or pairs that are compared, for each slot, before a search that has not gained ends.
    pub(super) patience_per_slot: u64,
    /// Lightest GPUs that pairs are swapped with.
    pub(super) pair_partners: usize,
    /// Choices of replica counts whose bound is looked at.
    pub(super) choices: usize,
    /// Choices of replica counts that are packed.
    pub(super) packed: usize,
    /// Mixes of replica counts that are packed.
    pub(super) mixes: usize,
    /// If there are no more choices than this, all are looked at.
    pub(super) all_choices: u64,
    /// Choices of the replica counts of hot experts that are judged, about, and those that are packed.
    pub(super) hot_choices: usize,
    pub(super) hot_packed: usize,
    /// Transfers of replicas that are tried.
    pub(super) transfers: usize,
    /// Ways to put groups on nodes that are planned.
    pub(super) group_packings: usize,
    /// Steps of looking for these ways.
    pub(super) group_steps: u64,
    /// Published policies that are compared with.
    pub(super) published: &'static [Rule],
    /// Whether `multiwindow` is, if GPUs in use are not equal: the published policies have no plan then.
    pub(super) multiwindow: bool,
}

impl Budget {
    /// The budgets of the effort that is asked for and of all shorter ones, longest first.
    ///
    /// # Errors
    /// The target gap is negative or not finite.
    pub(super) fn list(options: Options, topology: &Topology) -> Result<Vec<Self>, Error> {
        let efforts = Effort::ALL.into_iter().rev();
        let efforts = efforts.skip_while(|effort| *effort != options.effort);
        efforts.map(|effort| Self::of(effort, options.target_gap, topology)).collect()
    }

    /// What an effort that does not try other counts goes on with where it ends far above `deepseek`: the
    /// search of `default`, so that no longer effort ends above this one by more than its target.
    ///
    /// # Errors
    /// The target gap is negative or not finite.
    pub(super) fn fallback(options: Options, topology: &Topology) -> Result<Option<Self>, Error> {
        let falls_back = options.effort == Effort::Fast;
        let default = || Self::of(Effort::Default, options.target_gap, topology);
        falls_back.then(default).transpose()
    }

    fn of(effort: Effort, gap: Option<f64>, topology: &Topology) -> Result<Self, Error> {
        let gap = Gap::new(gap.unwrap_or_else(|| effort.target_gap(topology)))?;
        let least = usize::from(topology.slots_per_gpu() < MANY_SLOTS);
        let sweeps = (topology.num_gpus() / GPUS_PER_SWEEP).clamp(least, 2);
        Ok(match effort {
            Effort::Fast => Self::fast(gap, sweeps),
            Effort::Default => Self::default(gap, sweeps),
            Effort::Best => Self::best(gap),
        })
    }

    /// Greedy packing and a little improvement.
    fn fast(gap: Gap, sweeps: usize) -> Self {
        Self {
            gap,
            settled: gap,
            // One of the two: swaps end lower, in less time, where sweeps are not needed.
            sweeps,
            swaps: if sweeps == 0 { 32 } else { 0 },
            // A limit for swaps that find nothing.
            work_per_slot: 12,
            patience_per_slot: 12,
            // The lightest GPUs have most room for a pair.
            pair_partners: 4,
            // Other counts cost a greedy packing each.
            choices: 0,
            packed: 0,
            mixes: 0,
            all_choices: 0,
            hot_choices: 0,
            hot_packed: 0,
            transfers: 0,
            // That of LPT or a better one: a second one is planned in as much time as the first.
            group_packings: 1,
            group_steps: 1000,
            // `fast` promises only not to be worse than `deepseek`.
            published: &[Rule::DeepSeek],
            // It takes ten times as long as this effort.
            multiwindow: false,
        }
    }

    /// For a planner in a serving loop: a small multiple of the time of greedy packing for a layer that
    /// reaches the target, and more only for the others.
    fn default(gap: Gap, sweeps: usize) -> Self {
        Self {
            gap,
            settled: gap,
            sweeps,
            // A layout that needs more is given up for the next candidate.
            swaps: 64,
            work_per_slot: 100,
            patience_per_slot: 20,
            pair_partners: 16,
            // A look lists the replicas; a packing also places and improves them. So looks choose which
            // packings are worth it.
            choices: 7,
            packed: 4,
            mixes: 3,
            // Only small problems have so few choices; a look at all of them is quick there.
            all_choices: 512,
            // A judgement takes a fraction of a look.
            hot_choices: 256,
            hot_packed: 8,
            // A transfer is tried in about as much time as other counts, of which there are four.
            transfers: 4,
            group_packings: 4,
            // Of a few groups these are all packings; of many, LPT and some beside it.
            group_steps: 1000,
            published: &[Rule::DeepSeek, Rule::Adaptive],
            multiwindow: true,
        }
    }

    /// For planning offline: every limit is several times that of `default`.
    fn best(gap: Gap) -> Self {
        Self {
            gap,
            // This effort is never worse than a shorter one, whatever the gap that it may stop at.
            settled: Gap::ZERO,
            // They end by themselves if a sweep changes nothing.
            sweeps: 4,
            // A backstop: `work_per_slot` is the limit that matters.
            swaps: 10_000,
            work_per_slot: 1000,
            // None: it ends where the work is done.
            patience_per_slot: u32::MAX as u64,
            pair_partners: usize::MAX,
            choices: 32,
            packed: 16,
            mixes: 16,
            all_choices: 16_384,
            hot_choices: 4096,
            hot_packed: 32,
            transfers: 64,
            group_packings: 64,
            // As many as the lower bound of groups may search.
            group_steps: MAX_PACKINGS,
            published: &[Rule::DeepSeek, Rule::Adaptive],
            multiwindow: true,
        }
    }
}
