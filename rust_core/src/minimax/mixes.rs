//! Mixes: replica counts for loads that are nearly even.
//!
//! Adams' method gives nearly even loads counts r and r+1, and so GPUs have shares of two sizes. With few
//! slots per GPU these may not add up to the mean: halves and ones do not fill a GPU with four slots to
//! 8/3. A *mix* has three counts at most, and the heaviest experts get the most replicas: with ones and
//! thirds, each GPU has two of each.
//!
//! Mixes are listed from *patterns*: if each GPU has m replicas of experts with r replicas, there are
//! m * GPUs / r such experts. The mixes next to that are judged as if experts of one count were alike.

use std::ops::Range;

/// Some experts, those that follow one another in the order of descending load, have equally many
/// replicas.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Type {
    experts: usize,
    count: usize,
}

/// At most three types, that of the heaviest experts and largest count first.
type Mix = [Type; 3];

/// Replica counts, and how promising they are.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// What the busiest GPU carries if experts of a type are alike, in the unit of canonical loads.
    pub(super) judged: u64,
    /// By position in the order of descending load.
    pub(super) counts: Vec<u32>,
}

/// The counts of a mix are at least the mean number of replicas less this, and so many follow one
/// another: experts with more replicas have such light ones that fewer do as well.
const BELOW: usize = 2;
const COUNTS: usize = 8;

/// GPUs with more slots than this have so many patterns that fewer counts do.
const FEW_SLOTS: usize = 6;
const COUNTS_OF_MANY_SLOTS: usize = 5;

/// Loads are nearly even if none is more than so many times another, without one part in so many of the
/// heaviest and of the lightest.
const SPREAD: u64 = 3;
const FEW: usize = 16;

/// Loads that fall by one part in so many, from one expert to the next, are of two classes.
const FALL: u64 = 16;

/// Lists mixes, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct Mixes {
    /// Sum of the loads before each position.
    before: Vec<u64>,
    bins: Vec<Bin>,
}

/// Experts whose replicas fill as many slots on each GPU.
#[derive(Debug)]
struct Class {
    /// Their positions.
    experts: Range<usize>,
    slots: usize,
    gpus: usize,
    wanted: usize,
    /// The mixes of most promise, in ascending order of what the busiest GPU carries.
    best: Vec<(u64, Mix)>,
}

/// Some GPUs that have the same.
#[derive(Debug, Clone, Copy)]
struct Bin {
    gpus: usize,
    load: u64,
    room: usize,
}

impl Mixes {
    /// The `wanted` choices of most promise for these descending loads, the best first. An expert has
    /// at most one replica for each GPU.
    ///
    /// If the loads fall by much at once, the experts before and after that are two classes, and each
    /// may have a mix of its own, in each number of slots. Time O(slots of a GPU), or of two classes its
    /// square, for each three counts, beside reading the loads.
    pub(super) fn list(
        &mut self,
        load: &[u64],
        slots: usize,
        gpus: usize,
        wanted: usize,
    ) -> Vec<Choice> {
        let whole = even(load);
        let jump = jump(load).filter(|&at| even(&load[..at]) && even(&load[at..]));
        if !whole && jump.is_none() {
            return Vec::new();
        }
        self.before.clear();
        self.before.push(0);
        let mut sum = 0;
        for &w in load {
            // Canonical loads of a layer sum to about 2^40, below 2^41.
            sum += w;
            self.before.push(sum);
        }
        let mut choices = Vec::new();
        if whole {
            for (judged, mix) in self.best(0..load.len(), slots, gpus, wanted) {
                choices.push(Choice { judged, counts: counts_of(&mix).collect() });
            }
        }
        if let Some(jump) = jump {
            for heavy in (gpus..slots).step_by(gpus) {
                let above = self.best(0..jump, heavy, gpus, 1);
                let below = self.best(jump..load.len(), slots - heavy, gpus, 1);
                if let (Some((a, above)), Some((b, below))) = (above.first(), below.first()) {
                    let counts: Vec<u32> = counts_of(above).chain(counts_of(below)).collect();
                    if choices.iter().all(|other| other.counts != counts) {
                        choices.push(Choice { judged: a + b, counts });
                    }
                }
            }
            choices.sort_by_key(|choice| choice.judged);
            choices.truncate(wanted);
        }
        choices
    }

    /// The best mixes of these experts in so many slots.
    fn best(
        &mut self,
        experts: Range<usize>,
        slots: usize,
        gpus: usize,
        wanted: usize,
    ) -> Vec<(u64, Mix)> {
        let mean = slots / experts.len();
        let least = mean.saturating_sub(BELOW).max(1);
        let many_slots = slots / gpus > FEW_SLOTS;
        let counts = if many_slots { COUNTS_OF_MANY_SLOTS } else { COUNTS };
        let most = (least + counts - 1).min(gpus);
        let mut class = Class { experts, slots, gpus, wanted, best: Vec::new() };
        for low in least..=most.min(mean) {
            for middle in low + 1..=most {
                for high in middle + 1..=most {
                    self.add_near_patterns([high, middle, low], &mut class);
                }
            }
        }
        class.best
    }

    /// Adds the mixes of these counts for which one of the two larger counts is next to equally often
    /// on all GPUs.
    fn add_near_patterns(&mut self, [high, middle, low]: [usize; 3], class: &mut Class) {
        let experts = class.experts.len();
        // Beside `low` replicas of each expert: those of the larger counts.
        let rest = class.slots - low * experts;
        let (gpus, per_gpu) = (class.gpus, class.slots / class.gpus);
        let (more, fewer) = (high - low, middle - low);
        let mut offer = |heavy: usize, medium: usize| {
            if heavy + medium <= experts {
                let light = experts - heavy - medium;
                let of = |experts, count| Type { experts, count };
                self.offer([of(heavy, high), of(medium, middle), of(light, low)], class);
            }
        };
        for each in 0..=per_gpu {
            for (count, own, other, is_heavy) in
                [(high, more, fewer, true), (middle, fewer, more, false)]
            {
                let ideal = gpus * each / count;
                // The nearest numbers of experts that leave a whole number of the others.
                let fits = |&n: &usize| n * own <= rest && (rest - n * own).is_multiple_of(other);
                let below = (0..=ideal).rev().take(other).find(fits);
                let above = (ideal + 1..).take(other).find(fits);
                for n in below.into_iter().chain(above) {
                    let others = (rest - n * own) / other;
                    if is_heavy { offer(n, others) } else { offer(others, n) }
                }
            }
        }
    }

    /// Keeps a mix if it is one of the best; of those with equal peaks the first stays.
    fn offer(&mut self, mix: Mix, class: &mut Class) {
        let peak = self.judge(mix, class);
        let Class { wanted, best, .. } = class;
        let full = best.len() == *wanted;
        if full && best.last().is_none_or(|worst| worst.0 <= peak) {
            return;
        }
        // Counts without experts make no difference.
        let used = |mix: Mix| mix.into_iter().filter(|part| part.experts > 0);
        if best.iter().any(|&(_, other)| used(other).eq(used(mix))) {
            return;
        }
        if full {
            best.pop();
        }
        best.insert(best.partition_point(|other| other.0 <= peak), (peak, mix));
    }

    /// What the busiest GPU carries if experts of a type are alike: greedy packing places the replicas of
    /// a type on all GPUs that have the same.
    fn judge(&mut self, mix: Mix, class: &Class) -> u64 {
        let mut first = class.experts.start;
        let mut shares = mix.map(|Type { experts, count }| {
            let load = self.before[first + experts] - self.before[first];
            first += experts;
            let replicas = experts * count;
            (load.checked_div(replicas as u64).unwrap_or(0), replicas)
        });
        shares.sort_unstable_by(|a, b| b.cmp(a));
        self.bins.clear();
        self.bins.push(Bin { gpus: class.gpus, load: 0, room: class.slots / class.gpus });
        let mut peak = 0;
        for (share, mut left) in shares {
            while left > 0 {
                let roomy = self.bins.iter_mut().filter(|bin| bin.room > 0);
                let Some(bin) = roomy.min_by_key(|bin| bin.load) else { break };
                let rest = Bin { gpus: bin.gpus - bin.gpus.min(left), ..*bin };
                bin.gpus -= rest.gpus;
                bin.load += share;
                bin.room -= 1;
                peak = peak.max(bin.load);
                left -= bin.gpus;
                if rest.gpus > 0 {
                    self.bins.push(rest);
                }
            }
        }
        peak
    }
}

/// Whether these descending loads are nearly even, but for a few: experts of one count are alike then.
fn even(load: &[u64]) -> bool {
    let few = load.len() / FEW;
    load[few] <= SPREAD * load[load.len() - 1 - few]
}

/// The position after the largest fall of the loads, if that takes off a part of at least one in
/// [`FALL`].
fn jump(load: &[u64]) -> Option<usize> {
    // Loads are below 2^41, so the product is below 2^61.
    let part = |at: usize| (load[at - 1] - load[at]) * (1 << 20) / load[at - 1].max(1);
    let at = (1..load.len()).rev().max_by_key(|&at| part(at))?;
    (part(at) >= (1 << 20) / FALL).then_some(at)
}

/// The replicas of each expert of a class.
fn counts_of(mix: &Mix) -> impl Iterator<Item = u32> {
    mix.iter().flat_map(|part| std::iter::repeat_n(part.count as u32, part.experts))
}
