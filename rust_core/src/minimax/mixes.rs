//! Mixes: replica counts for loads that are nearly even.
//!
//! Adams' method gives nearly even loads counts r and r+1, and so GPUs have shares of two sizes. With few
//! slots per GPU these may not add up to the mean: halves and ones do not fill a GPU with four slots to
//! 8/3. A *mix* has three counts at most, and the heaviest experts get the most replicas: with ones and
//! thirds, each GPU has two of each.
//!
//! Mixes are listed from *patterns*: if each GPU has m replicas of experts with r replicas, there are
//! m * GPUs / r such experts. The mixes next to that are judged as if experts of one count were alike.

/// Some experts, those that follow one another in the order of descending load, have equally many
/// replicas.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) experts: usize,
    pub(super) count: usize,
}

/// At most three types, that of the heaviest experts and largest count first; all experts in all.
pub(super) type Mix = [Type; 3];

/// Counts of a mix are from the least whole number of slots per expert, less this, up to as many more
/// as [`COUNTS`]: larger counts have shares so light that others take their place.
const BELOW: usize = 2;
const COUNTS: usize = 8;

/// Lists mixes, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct Mixes {
    /// Sum of the loads before each position.
    before: Vec<u64>,
    slots: usize,
    gpus: usize,
    /// The mixes of most promise: what the busiest GPU carries if experts of a type are alike, and the
    /// mix, in ascending order.
    best: Vec<(u64, Mix)>,
    bins: Vec<Bin>,
}

/// Some GPUs that have the same.
#[derive(Debug, Clone, Copy)]
struct Bin {
    gpus: usize,
    load: u64,
    room: usize,
}

impl Mixes {
    /// The `wanted` mixes of most promise for these descending loads, each with what its busiest GPU
    /// carries, in the unit of the loads, if experts of a type are alike. Time O(slots of a GPU squared).
    pub(super) fn list(
        &mut self,
        load: &[u64],
        slots: usize,
        gpus: usize,
        wanted: usize,
    ) -> &[(u64, Mix)] {
        self.before.clear();
        self.before.push(0);
        for &w in load {
            // Canonical loads sum to about 2^40.
            self.before.push(self.before[self.before.len() - 1] + w);
        }
        (self.slots, self.gpus) = (slots, gpus);
        self.best.clear();
        let least = (slots / load.len()).saturating_sub(BELOW).max(1);
        let most = (least + COUNTS - 1).min(gpus);
        for low in least..=most.min(slots / load.len()) {
            for middle in low + 1..=most {
                for high in middle + 1..=most {
                    self.add_near_patterns([high, middle, low], wanted);
                }
            }
        }
        &self.best
    }

    /// Adds the mixes of these counts for which one of the two larger counts is next to equally often
    /// on all GPUs.
    fn add_near_patterns(&mut self, [high, middle, low]: [usize; 3], wanted: usize) {
        let experts = self.before.len() - 1;
        // More replicas than `low` of each expert: the other counts share them out.
        let rest = self.slots - low * experts;
        let (more, fewer) = (high - low, middle - low);
        let add = |this: &mut Self, heavy: usize, medium: usize| {
            if heavy + medium <= experts {
                this.offer(
                    [
                        Type { experts: heavy, count: high },
                        Type { experts: medium, count: middle },
                        Type { experts: experts - heavy - medium, count: low },
                    ],
                    wanted,
                );
            }
        };
        for each in 0..=self.slots / self.gpus {
            for (count, own, other, is_heavy) in
                [(high, more, fewer, true), (middle, fewer, more, false)]
            {
                let ideal = self.gpus * each / count;
                // The nearest numbers of experts that leave a whole number of the others.
                let fits = |&n: &usize| n * own <= rest && (rest - n * own) % other == 0;
                let below = (0..=ideal).rev().take(other).find(fits);
                let above = (ideal + 1..).take(other).find(fits);
                for n in below.into_iter().chain(above) {
                    let others = (rest - n * own) / other;
                    if is_heavy { add(self, n, others) } else { add(self, others, n) }
                }
            }
        }
    }

    /// Keeps a mix if it is one of the best; of those with equal peaks the first stays.
    fn offer(&mut self, mix: Mix, wanted: usize) {
        let peak = self.judge(mix);
        let full = self.best.len() == wanted;
        if full && self.best.last().is_none_or(|worst| worst.0 <= peak) {
            return;
        }
        let same = |other: &Mix| used(other).eq(used(&mix));
        if self.best.iter().any(|(_, other)| same(other)) {
            return;
        }
        if full {
            self.best.pop();
        }
        let at = self.best.partition_point(|other| other.0 <= peak);
        self.best.insert(at, (peak, mix));
    }

    /// What the busiest GPU carries if experts of a type are alike, and greedy packing places them, which
    /// treats GPUs alike as well.
    fn judge(&mut self, mix: Mix) -> u64 {
        let mut first = 0;
        let mut shares = mix.map(|Type { experts, count }| {
            let load = self.before[first + experts] - self.before[first];
            first += experts;
            let replicas = experts * count;
            (load.checked_div(replicas as u64).unwrap_or(0), replicas)
        });
        shares.sort_unstable_by(|a, b| b.cmp(a));
        self.bins.clear();
        self.bins.push(Bin { gpus: self.gpus, load: 0, room: self.slots / self.gpus });
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

/// The types of a mix that have experts.
fn used(mix: &Mix) -> impl Iterator<Item = &Type> {
    mix.iter().filter(|part| part.experts > 0)
}

/// The replicas of each expert, by position.
pub(super) fn counts_of(mix: &Mix, counts: &mut Vec<u32>) {
    counts.clear();
    for part in mix {
        counts.extend(std::iter::repeat_n(part.count as u32, part.experts));
    }
}
