//! The history of all layers. Every layer decides for itself.

pub(crate) mod layer;
#[cfg(test)]
mod tests;

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Place, out_of_range};
use crate::kernel::threads::{share_out, worth};
use crate::problem::loads::CanonicalLoads;
use layer::{HistoryOptions, LayerHistory, LayerState};

/// What is remembered of past windows of loads, of all layers.
///
/// It depends on the loads' values alone: not on their dtype, the machine, or the number of threads.
/// Equal histories give equal plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadHistory {
    options: HistoryOptions,
    experts: usize,
    layers: Vec<Layer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Layer {
    history: LayerHistory,
    /// The canonical loads of the newest window that was not empty, `[experts]`, and their exponent.
    newest: Vec<u64>,
    exponent: i32,
}

/// A history in plain numbers, for files and other processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryState {
    /// How much is remembered.
    pub options: HistoryOptions,
    /// Experts per layer.
    pub experts: usize,
    /// What is remembered of each layer.
    pub layers: Vec<LayerState>,
    /// Canonical loads of each layer's newest window that was not empty, `[layers][experts]`.
    pub newest: Vec<Vec<u64>>,
    /// The exponent of each row of `newest`: canonical = round(load * 2^exponent).
    pub exponents: Vec<i32>,
}

impl LoadHistory {
    /// A history without windows, of so many layers and experts.
    ///
    /// # Errors
    /// There are no layers or no experts; a number of rows or a decay is out of its range.
    pub fn new(layers: usize, experts: usize, options: HistoryOptions) -> Result<Self, Error> {
        check(layers, experts, options)?;
        let layer =
            Layer { history: LayerHistory::default(), newest: vec![0; experts], exponent: 0 };
        Ok(Self { options, experts, layers: vec![layer; layers] })
    }

    /// Learns from the loads of a window, which must be newer than all before. A layer without load
    /// is skipped.
    ///
    /// Time O(layers * rows * experts), on up to `threads` threads if there are so many loads that it
    /// pays.
    ///
    /// # Errors
    /// The loads have another number of layers or experts.
    pub fn observe(&mut self, loads: &CanonicalLoads, threads: usize) -> Result<(), Error> {
        let Self { options, experts, ref mut layers } = *self;
        if (loads.layers(), loads.experts()) != (layers.len(), experts) {
            return Err(other_model(loads, layers.len(), experts));
        }
        // A load is compared with all rows, and with all again after a merge.
        let threads = worth(threads, loads.layers() * loads.experts() * options.rows as usize);
        let share = layers.len().div_ceil(threads).max(1);
        let shares = layers.chunks_mut(share).enumerate();
        share_out(threads, shares, |(index, layers)| {
            for (row, layer) in (index * share..).zip(layers) {
                layer.observe(loads.row(row), loads.exponents()[row], options);
            }
        });
        Ok(())
    }

    /// How much is remembered.
    #[must_use]
    pub fn options(&self) -> HistoryOptions {
        self.options
    }

    /// Number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Logical experts per layer.
    #[must_use]
    pub fn experts(&self) -> usize {
        self.experts
    }

    /// The rows that are kept of each layer, `[layers]`: 0 if it has seen no load.
    #[must_use]
    pub fn rows(&self) -> Vec<usize> {
        self.layers.iter().map(|layer| layer.history.rows().len()).collect()
    }

    /// Whether the newest window of each layer was a shift of its traffic, `[layers]`.
    #[must_use]
    pub fn shifted(&self) -> Vec<bool> {
        self.layers.iter().map(|layer| layer.history.shifted()).collect()
    }

    /// The canonical loads of each layer's newest window that was not empty.
    #[must_use]
    pub fn newest(&self) -> CanonicalLoads {
        let values = self.layers.iter().flat_map(|layer| layer.newest.iter().copied()).collect();
        let exponents = self.layers.iter().map(|layer| layer.exponent).collect();
        CanonicalLoads::from_canonical(values, exponents, self.experts)
    }

    /// The history of a layer.
    pub(crate) fn layer(&self, layer: usize) -> &LayerHistory {
        &self.layers[layer].history
    }

    /// A short hash of the options and all that is remembered: the first 16 hex digits of SHA-256
    /// over a version tag and the numbers of [`HistoryState`] in order, little-endian, each as wide as
    /// it is there, and `rows`, `decay` and lengths as u64. Every list comes after its length.
    /// Processes that plan together compare it. Time O(layers * rows * experts).
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new_with_prefix(b"eplb history 1\n");
        let sizes = [u64::from(self.options.rows), u64::from(self.options.decay)];
        for size in [sizes[0], sizes[1], self.experts as u64, self.layers.len() as u64] {
            hash.update(size.to_le_bytes());
        }
        let mut bytes = Vec::new();
        for layer in &self.layers {
            layer.history.write_bytes(&mut bytes);
            bytes.extend(layer.newest.iter().flat_map(|load| load.to_le_bytes()));
            bytes.extend(layer.exponent.to_le_bytes());
            hash.update(&bytes);
            bytes.clear();
        }
        let hash: [u8; 32] = hash.finalize().into();
        hash[..8].iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
    }

    /// The history in plain numbers.
    #[must_use]
    pub fn state(&self) -> HistoryState {
        HistoryState {
            options: self.options,
            experts: self.experts,
            layers: self.layers.iter().map(|layer| layer.history.state()).collect(),
            newest: self.layers.iter().map(|layer| layer.newest.clone()).collect(),
            exponents: self.layers.iter().map(|layer| layer.exponent).collect(),
        }
    }

    /// The history with this state.
    ///
    /// # Errors
    /// The state is not one that [`Self::state`] can give.
    pub fn from_state(state: HistoryState) -> Result<Self, Error> {
        let HistoryState { options, experts, layers, newest, exponents } = state;
        check(layers.len(), experts, options)?;
        if newest.len() != layers.len() || exponents.len() != layers.len() {
            return Err(invalid_state(
                format!("{} layers", layers.len()),
                format!("as many as windows, {}, and exponents, {}", newest.len(), exponents.len()),
            ));
        }
        let layer = |(index, ((state, newest), exponent)): (usize, ((_, Vec<u64>), _))| {
            let in_layer =
                |(problem, expected)| invalid_state(problem, expected).at(Place::layer(index));
            let total = newest.iter().try_fold(0_u64, |sum, &load| sum.checked_add(load));
            if newest.len() != experts || total.is_none_or(|total| total >> 41 > 0) {
                let problem = format!("a newest window of {} loads", newest.len());
                let expected = format!("{experts} canonical loads that sum to less than 2^41");
                return Err(in_layer((problem, expected)));
            }
            let history = LayerHistory::from_state(state, experts, options).map_err(in_layer)?;
            Ok(Layer { history, newest, exponent })
        };
        let layers = layers.into_iter().zip(newest).zip(exponents).enumerate().map(layer);
        Ok(Self { options, experts, layers: layers.collect::<Result<_, _>>()? })
    }
}

impl Layer {
    fn observe(&mut self, loads: &[u64], exponent: i32, options: HistoryOptions) {
        if loads.iter().any(|&load| load > 0) {
            self.newest.copy_from_slice(loads);
            self.exponent = exponent;
        }
        self.history.observe(loads, options);
    }
}

fn check(layers: usize, experts: usize, options: HistoryOptions) -> Result<(), Error> {
    if layers == 0 || experts == 0 {
        let problem = format!("a history of {layers} layers x {experts} experts");
        return Err(Error::text(ErrorKind::Load, problem).expected("at least 1 x 1"));
    }
    let HistoryOptions { rows, decay } = options;
    check_range("rows", rows, HistoryOptions::ROWS)?;
    check_range("decay", decay, HistoryOptions::DECAYS)
}

fn check_range(name: &'static str, value: u32, range: Range<u32>) -> Result<(), Error> {
    let expected = || format!("{} to {}", range.start, range.end - 1);
    if range.contains(&value) { Ok(()) } else { Err(out_of_range(name, value, expected())) }
}

/// A window that does not belong to the history.
fn other_model(loads: &CanonicalLoads, layers: usize, experts: usize) -> Error {
    let problem = format!("a window has {} layers x {} experts", loads.layers(), loads.experts());
    Error::text(ErrorKind::Load, problem)
        .expected(format!("{layers} x {experts}, as the windows before"))
        .hint(["begin a new history for another model".into()])
}

fn invalid_state(problem: String, expected: String) -> Error {
    Error::text(ErrorKind::Load, problem).expected(expected)
}
