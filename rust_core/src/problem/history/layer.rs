//! What is remembered of the past windows of one layer: at most `rows` rows of shares with weights.
//!
//! When a window comes, all weights decay, and the window becomes a row. If there are too many rows,
//! the two most similar old ones are merged, so that traffic seen long ago is still remembered.
//! For planning, a row counts less the less it resembles the newest window.
//!
//! All numbers are integers, and all sums fit: shares of a row sum to 2^30 at most, so a distance is
//! 2^31 at most.

use std::ops::Range;

/// The shares of a window sum to 2^30, less what rounding down takes.
pub(crate) const SHARE_BITS: u32 = 30;
/// The weight of a window when it comes.
pub(crate) const ONE: u64 = 1 << 16;
/// A weight is 2^31 at most, 32,768 windows: only a history that hardly decays gets there.
pub(crate) const MAX_WEIGHT: u64 = 1 << 31;
/// The newest rows, which are never merged.
const UNMERGED: usize = 2;
/// How many distances are remembered as the usual ones.
pub(crate) const USUAL_WINDOWS: usize = 12;
/// A shift of the traffic: the newest window is so many times the usual distance from all rows.
const SHIFT: u64 = 3;
/// Likeness counts so many times more after a shift.
const LIKENESS_AFTER_SHIFT: u32 = 3;
/// Fewer rows say nothing about what is usual.
const FEWEST_ROWS: usize = 3;

/// How much a history remembers. Part of its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryOptions {
    /// Rows of each layer, 3 to 32. The default is 16. Planning takes time in proportion.
    pub rows: u32,
    /// What remains of the weight of a row when a window comes, in 65536ths: 1 to 65536. The default
    /// is 64225, that is 0.98.
    pub decay: u32,
}

impl HistoryOptions {
    /// The numbers of rows that a history can have.
    pub const ROWS: Range<u32> = 3..33;
    /// The possible decays.
    pub const DECAYS: Range<u32> = 1..65537;
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self { rows: 16, decay: 64225 }
    }
}

/// The history of one layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LayerHistory {
    /// Shares of 2^30 for each expert, oldest row first.
    rows: Vec<Vec<u32>>,
    /// The weight of each row; 65536 is one window.
    weights: Vec<u64>,
    /// Distances between rows, `[rows, rows]`.
    distances: Vec<Vec<u32>>,
    /// The distance of each of the last windows to the nearest row when it came, oldest first.
    nearest: Vec<u32>,
    /// The distance that is usual, as of the newest window; at least 1.
    usual: u32,
    shifted: bool,
}

/// The history of one layer in plain numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerState {
    /// Rows of shares of 2^30 for each expert, oldest first.
    pub rows: Vec<Vec<u32>>,
    /// The weight of each row; 65536 is one window.
    pub weights: Vec<u64>,
    /// The distance of each of the last windows (12 at most) to the nearest row when it came.
    pub nearest: Vec<u32>,
    /// The distance that is usual, as of the newest window.
    pub usual: u32,
    /// Whether the newest window was a shift of the traffic.
    pub shifted: bool,
}

impl LayerHistory {
    /// The history of one window in which all experts have the same load.
    pub(crate) fn of_equal_loads(experts: usize) -> Self {
        let mut history = Self::default();
        history.observe(&vec![1; experts], HistoryOptions::default());
        history
    }

    /// Learns from a window, unless it is empty. Time O(rows * experts).
    pub(crate) fn observe(&mut self, loads: &[u64], options: HistoryOptions) {
        let Some(window) = shares(loads) else { return };
        let known = self.rows.len();
        let distances: Vec<u32> = self.rows.iter().map(|row| distance(row, &window)).collect();
        self.judge(&distances);
        for weight in &mut self.weights {
            *weight = (*weight * u64::from(options.decay)) >> 16;
        }
        for (row, &to_window) in self.distances.iter_mut().zip(&distances) {
            row.push(to_window);
        }
        self.distances.push(distances);
        self.distances[known].push(0);
        self.rows.push(window);
        self.weights.push(ONE);
        if self.rows.len() > options.rows as usize {
            self.merge();
        }
    }

    /// Whether the window at these distances is a shift, and which distance is usual.
    fn judge(&mut self, distances: &[u32]) {
        let Some(&nearest) = distances.iter().min() else {
            self.usual = 1;
            return;
        };
        let mut sorted = self.nearest.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(nearest);
        self.shifted =
            distances.len() >= FEWEST_ROWS && u64::from(nearest) > SHIFT * u64::from(median);
        self.usual = nearest.min(median).max(1);
        if self.nearest.len() == USUAL_WINDOWS {
            self.nearest.remove(0);
        }
        self.nearest.push(nearest);
    }

    /// Merges the two rows, of all but the newest, that are nearest to each other; light rows are
    /// merged sooner. The first such pair wins.
    fn merge(&mut self) {
        let old = self.rows.len() - UNMERGED;
        let cost = |&(i, j): &(usize, usize)| {
            let distance = u128::from(self.distances[i][j]);
            distance * distance * u128::from(self.weights[i].min(self.weights[j]))
        };
        let pairs = (0..old).flat_map(|i| (i + 1..old).map(move |j| (i, j)));
        let Some((into, merged)) = pairs.min_by_key(cost) else { return };
        let (weight, other) = (self.weights[into], self.weights.remove(merged));
        let row = self.rows.remove(merged);
        let ratio = ((other << 32) / (weight + other).max(1)) as i64;
        for (share, &theirs) in self.rows[into].iter_mut().zip(&row) {
            // Rounded down, also if the difference is negative.
            let difference = i64::from(theirs) - i64::from(*share);
            *share = (i64::from(*share) + ((difference * ratio) >> 32)) as u32;
        }
        self.weights[into] = (weight + other).min(MAX_WEIGHT);
        self.distances.remove(merged);
        for row in &mut self.distances {
            row.remove(merged);
        }
        self.measure(into);
    }

    /// Distances of a row to all rows.
    fn measure(&mut self, row: usize) {
        for other in 0..self.rows.len() {
            let between = distance(&self.rows[row], &self.rows[other]);
            self.distances[row][other] = between;
            self.distances[other][row] = between;
        }
    }

    /// The rows, oldest first, `[rows][experts]`.
    pub(crate) fn rows(&self) -> &[Vec<u32>] {
        &self.rows
    }

    /// Whether the newest window was a shift of the traffic.
    pub(crate) fn shifted(&self) -> bool {
        self.shifted
    }

    /// The weight of each row for planning: less for a row that does not resemble the newest window.
    pub(crate) fn planning_weights(&self) -> Vec<u64> {
        let mut weights = self.weights.clone();
        let Some(newest) = self.rows.len().checked_sub(1) else { return weights };
        if self.rows.len() < FEWEST_ROWS {
            return weights;
        }
        let times = if self.shifted { LIKENESS_AFTER_SHIFT } else { 1 };
        for (weight, &distance) in weights[..newest].iter_mut().zip(&self.distances[newest]) {
            let likeness = ((u64::from(self.usual) << 16) / u64::from(distance.max(1))).min(ONE);
            for _ in 0..times {
                *weight = (*weight * likeness) >> 16;
            }
        }
        weights
    }

    /// Appends all that is remembered as bytes, for a digest.
    pub(crate) fn write_bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend((self.rows.len() as u64).to_le_bytes());
        for row in &self.rows {
            // Four bytes at a time: faster than a chain of iterators over bytes.
            let start = bytes.len();
            bytes.resize(start + 4 * row.len(), 0);
            for (place, share) in bytes[start..].chunks_exact_mut(4).zip(row) {
                place.copy_from_slice(&share.to_le_bytes());
            }
        }
        bytes.extend(self.weights.iter().flat_map(|weight| weight.to_le_bytes()));
        bytes.extend((self.nearest.len() as u64).to_le_bytes());
        bytes.extend(self.nearest.iter().flat_map(|distance| distance.to_le_bytes()));
        bytes.extend(self.usual.to_le_bytes());
        bytes.push(u8::from(self.shifted));
    }

    /// The history in plain numbers.
    pub(crate) fn state(&self) -> LayerState {
        LayerState {
            rows: self.rows.clone(),
            weights: self.weights.clone(),
            nearest: self.nearest.clone(),
            usual: self.usual,
            shifted: self.shifted,
        }
    }

    /// The history with this state, or what is wrong with it and what was expected.
    pub(crate) fn from_state(
        state: LayerState,
        experts: usize,
        options: HistoryOptions,
    ) -> Result<Self, (String, String)> {
        let LayerState { rows, weights, nearest, usual, shifted } = state;
        let count = rows.len();
        if count > options.rows as usize || weights.len() != count {
            let problem = format!("{count} rows with {} weights", weights.len());
            return Err((problem, format!("at most {} rows, each with a weight", options.rows)));
        }
        for (index, row) in rows.iter().enumerate() {
            let sum: u64 = row.iter().map(|&share| u64::from(share)).sum();
            if row.len() != experts || sum > 1 << SHARE_BITS {
                let problem = format!("row {index} has {} shares of {sum} in all", row.len());
                return Err((problem, format!("{experts} shares of at most 2^30 in all")));
            }
        }
        if let Some(weight) = weights.iter().find(|&&weight| weight > MAX_WEIGHT) {
            return Err((format!("a weight of {weight}"), format!("at most {MAX_WEIGHT}")));
        }
        let far = |&distance: &u32| distance > 1 << (SHARE_BITS + 1);
        if nearest.len() > USUAL_WINDOWS || nearest.iter().any(far) || far(&usual) {
            let problem = format!("{} distances to the nearest row", nearest.len());
            return Err((problem, format!("at most {USUAL_WINDOWS} of at most 2^31 each")));
        }
        let distances = vec![vec![0; count]; count];
        let mut history = Self { rows, weights, distances, nearest, usual, shifted };
        for row in 0..count {
            history.measure(row);
        }
        Ok(history)
    }
}

/// A window's loads as shares of 2^30, rounded down; `None` if it is empty.
///
/// Takes canonical loads, whose total is below 2^41.
pub(crate) fn shares(loads: &[u64]) -> Option<Vec<u32>> {
    let total: u64 = loads.iter().sum();
    if total == 0 {
        return None;
    }
    // One division for the row. The quotient by the reciprocal is the share or 1 less, which the
    // remainder tells; the remainder is below 2 * total, so that it is right modulo 2^64.
    let reciprocal = (1_u128 << 94) / u128::from(total);
    let share = |&load: &u64| {
        let share = ((u128::from(load) * reciprocal) >> 64) as u64;
        let rest = (load << SHARE_BITS).wrapping_sub(share.wrapping_mul(total));
        (share + u64::from(rest >= total)) as u32
    };
    Some(loads.iter().map(share).collect())
}

/// The sum of absolute differences, 2^31 at most.
fn distance(row: &[u32], other: &[u32]) -> u32 {
    row.iter().zip(other).fold(0, |sum: u32, (&a, &b)| sum.wrapping_add(a.abs_diff(b)))
}
