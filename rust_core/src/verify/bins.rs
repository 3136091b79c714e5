//! Items in bins that hold equally many: experts on GPUs, or groups on nodes, which may differ in speed.

/// Up to so many ways to fill the bins are searched; if there are more, the pigeonhole principle has
/// to do.
const SEARCHED_PACKINGS: u128 = 100_000;

/// Items, heaviest first, and what is known of the heaviest bin.
pub(super) struct Bins {
    items: Vec<u128>,
    per_bin: usize,
    /// The heaviest bin carries at least this.
    at_least: u128,
    /// Whether it may have to carry more, which a search tells.
    searched: bool,
    /// The same if bins differ.
    searched_apart: bool,
}

impl Bins {
    pub(super) fn new(mut items: Vec<u128>, bins: usize) -> Self {
        items.sort_unstable_by(|a, b| b.cmp(a));
        let per_bin = items.len() / bins;
        let at_least = if per_bin == 2 { paired(&items) } else { pigeonhole(&items, bins) };
        let few = packings(items.len() as u128, bins as u128) <= SEARCHED_PACKINGS;
        let ways = factorial(bins.min(30) as u128);
        let few_apart =
            packings(items.len() as u128, bins as u128).saturating_mul(ways) <= SEARCHED_PACKINGS;
        Self {
            items,
            per_bin,
            at_least,
            searched: per_bin > 2 && few,
            searched_apart: per_bin > 1 && few_apart,
        }
    }

    /// Whether no bin has to carry more than `most`; if the ways are too many to search, whether
    /// that is not ruled out.
    pub(super) fn fit(&self, most: u128) -> bool {
        self.fit_in_steps(most, &mut 0)
    }

    /// The same, with the number of items looked at.
    pub(super) fn fit_in_steps(&self, most: u128, steps: &mut u64) -> bool {
        let bins = || vec![most; self.items.len() / self.per_bin];
        let mut search =
            || Search { per_bin: self.per_bin, alike: true, steps }.fill(&self.items, &bins());
        self.at_least <= most && (!self.searched || search())
    }

    /// Whether each bin can carry at most what is said for it, in ascending order; if the ways are too many
    /// to search, whether that is not ruled out.
    pub(super) fn fit_apart(&self, most: &[u128]) -> bool {
        if self.per_bin == 1 {
            return self.items.iter().zip(most.iter().rev()).all(|(item, most)| item <= most);
        }
        let search = || {
            Search { per_bin: self.per_bin, alike: false, steps: &mut 0 }.fill(&self.items, most)
        };
        most.last().is_some_and(|&most| self.fit(most)) && (!self.searched_apart || search())
    }
}

/// The least load of the heaviest bin of two items: the lightest go with the heaviest.
fn paired(items: &[u128]) -> u128 {
    items.iter().zip(items.iter().rev()).map(|(a, b)| a + b).max().unwrap_or(0)
}

/// The mean; and of the `j * bins + 1` heaviest items one bin holds `j + 1`, beside the lightest.
fn pigeonhole(items: &[u128], bins: usize) -> u128 {
    let mut sums = vec![0];
    sums.extend(items.iter().scan(0, |sum, item| {
        *sum += item;
        Some(*sum)
    }));
    let (per_bin, total) = (items.len() / bins, sums[items.len()]);
    let crowded = |j: usize| {
        let together = sums[j * bins + 1] - sums[j * bins - j];
        together + total - sums[items.len() - (per_bin - j - 1)]
    };
    (0..per_bin).map(crowded).fold(total.div_ceil(bins as u128), u128::max)
}

/// `items! / (per_bin!^bins * bins!)`, or more than is searched.
fn packings(items: u128, bins: u128) -> u128 {
    if items > 30 {
        return u128::MAX;
    }
    let per_bin = factorial(items / bins);
    // 30! is below 2^108; divide as early as the result stays whole.
    (0..bins).fold(factorial(items), |ways, _| ways / per_bin) / factorial(bins)
}

fn factorial(n: u128) -> u128 {
    (1..=n).product()
}

/// Looks for a way to fill bins of `per_bin` items.
struct Search<'a> {
    per_bin: usize,
    /// Whether the same items in other bins are the same way.
    alike: bool,
    steps: &'a mut u64,
}

impl Search<'_> {
    /// One bin after another, each with at most what it carries: every choice of items. If bins are alike,
    /// the first item that is left and every choice of others.
    fn fill(&mut self, items: &[u128], bins: &[u128]) -> bool {
        let Some((&most, others)) = bins.split_first() else { return true };
        // The other bins take no more than they may.
        let room = others.iter().fold(0, |room: u128, &most| room.saturating_add(most));
        let fewest = items.iter().sum::<u128>().saturating_sub(room);
        let limits = Limits { most, fewest, others };
        if self.alike {
            return self.choose(&items[1..], self.per_bin - 1, items[0], limits, &mut Vec::new());
        }
        self.choose(items, self.per_bin, 0, limits, &mut Vec::new())
    }

    /// Whether some `wanted` of the items, in a bin that carries `load`, leave items that fill the other
    /// bins; `left` are passed over already.
    fn choose(
        &mut self,
        items: &[u128],
        wanted: usize,
        load: u128,
        limits: Limits<'_>,
        left: &mut Vec<u128>,
    ) -> bool {
        *self.steps += 1;
        if items.len() < wanted {
            return false;
        }
        let heaviest = load + items[..wanted].iter().sum::<u128>();
        let lightest = load + items[items.len() - wanted..].iter().sum::<u128>();
        if lightest > limits.most || heaviest < limits.fewest {
            return false;
        }
        let before = left.len();
        if wanted == 0 {
            left.extend_from_slice(items);
            let filled = self.fill(left, limits.others);
            left.truncate(before);
            return filled;
        }
        if self.choose(&items[1..], wanted - 1, load + items[0], limits, left) {
            return true;
        }
        // Its equals would lead to the same.
        let equals = items.iter().take_while(|&item| item == &items[0]).count();
        left.extend_from_slice(&items[..equals]);
        let filled = self.choose(&items[equals..], wanted, load, limits, left);
        left.truncate(before);
        filled
    }
}

/// What a bin may carry, what it has to, and what the bins after it may carry.
#[derive(Debug, Clone, Copy)]
struct Limits<'a> {
    most: u128,
    fewest: u128,
    others: &'a [u128],
}
