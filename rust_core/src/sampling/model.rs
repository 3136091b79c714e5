//! Models whose loads were measured: their shapes, and how skewed their loads are.

use super::sample::Sample;
use crate::error::{Error, unknown};

/// A model's shape and how skewed its loads are.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Model {
    /// The name users give.
    pub name: &'static str,
    /// MoE layers, without dense ones.
    pub layers: u64,
    /// Routed logical experts of a layer.
    pub experts: u64,
    /// Experts per token.
    pub top_k: u64,
    /// Standard deviation of the log load over the experts of a layer, outliers aside.
    pub spread: f64,
    /// Fewest and most outliers of a layer.
    pub outliers: [u64; 2],
    /// The model and its traffic, in a line.
    pub description: &'static str,
    /// Which figures were measured, and on what.
    pub source: &'static str,
}

/// Every model.
pub const MODELS: [Model; 7] = [
    Model {
        name: "deepseek-v3",
        layers: 58,
        experts: 256,
        top_k: 8,
        spread: 0.66,
        outliers: [1, 3],
        description: "DeepSeek-V3 and R1: skewed, with 1 to 3 outliers a layer",
        source: "spread and outliers measured on GPQA",
    },
    Model {
        name: "deepseek-v3-single-domain",
        layers: 58,
        experts: 256,
        top_k: 8,
        spread: 0.9,
        outliers: [0, 0],
        description: "DeepSeek-V3's shape under traffic of a single domain",
        source: "spread assumed: the middle of 0.6 to 1.2, measured on traffic of single domains",
    },
    Model {
        name: "deepseek-v4-flash",
        layers: 40,
        experts: 256,
        top_k: 6,
        spread: 1.3,
        outliers: [0, 0],
        description: "DeepSeek-V4-Flash, decoding a few requests: extreme",
        source: "spread measured on 1,684 tokens: the value between 1.2 and 1.6 that gives the 8 \
                 largest loads; layers 3 to 42, as recorded",
    },
    Model {
        name: "deepseek-v2-lite",
        layers: 26,
        experts: 64,
        top_k: 6,
        spread: 0.51,
        outliers: [0, 0],
        description: "DeepSeek-V2-Lite on four tasks",
        source: "spread measured on 33,279 tokens",
    },
    Model {
        name: "deepseek-moe-16b",
        layers: 27,
        experts: 64,
        top_k: 6,
        spread: 0.16,
        outliers: [0, 0],
        description: "DeepSeek-MoE-16B on general text: well balanced",
        source: "spread measured on 2.8 million tokens",
    },
    Model {
        name: "olmoe-1b-7b",
        layers: 16,
        experts: 64,
        top_k: 8,
        spread: 0.51,
        outliers: [0, 0],
        description: "OLMoE-1B-7B on instructions",
        source: "spread measured on 88,098 tokens",
    },
    Model {
        name: "qwen3-235b-a22b",
        layers: 94,
        experts: 128,
        top_k: 8,
        spread: 0.46,
        outliers: [0, 0],
        description: "Qwen3-235B-A22B under mixed traffic",
        source: "spread assumed: that of GLM-5.2 under mixed traffic",
    },
];

impl Model {
    /// The model with this name.
    ///
    /// # Errors
    ///
    /// The name is unknown; the message lists the names.
    pub fn named(name: &str) -> Result<&'static Self, Error> {
        let found = MODELS.iter().find(|model| model.name == name);
        found.ok_or_else(|| unknown("model", name, &MODELS.map(|model| model.name)))
    }

    /// A sample of the model: one window of 100,000 tokens, seed 0.
    #[must_use]
    pub fn sample(&self) -> Sample {
        Sample {
            seed: 0,
            layers: self.layers,
            experts: self.experts,
            top_k: self.top_k,
            tokens: 100_000,
            spread: self.spread,
            outliers: self.outliers,
            windows: 1,
            domains: 1,
            drift: None,
        }
    }

    /// The same with another number of experts, and at most a quarter of them per token: the
    /// model's `top_k` might be all of a few experts, and all loads equal.
    #[must_use]
    pub fn sample_with_experts(&self, experts: u64) -> Sample {
        let top_k = self.top_k.min((experts / 4).max(1));
        Sample { experts, top_k, ..self.sample() }
    }
}
