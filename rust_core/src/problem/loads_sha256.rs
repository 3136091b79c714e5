//! Which loads a certificate is of.

use std::sync::OnceLock;

use crate::problem::loads::CanonicalLoads;

/// The [`CanonicalLoads::sha256`] of the loads that a certificate is of. It is computed when first
/// asked for, as it takes a tenth of the time of planning, and few plans of a loop are written or
/// compared. Until then, and after, a certificate keeps the canonical loads.
#[derive(Debug, Clone)]
pub struct LoadsSha256(Of);

#[derive(Debug, Clone)]
enum Of {
    Loads(CanonicalLoads, OnceLock<[u8; 32]>),
    Hash([u8; 32]),
}

impl LoadsSha256 {
    /// The bytes. The first time takes as long as hashing all loads.
    #[must_use]
    pub fn get(&self) -> [u8; 32] {
        match &self.0 {
            Of::Loads(loads, hash) => *hash.get_or_init(|| loads.sha256()),
            Of::Hash(hash) => *hash,
        }
    }
}

impl From<&CanonicalLoads> for LoadsSha256 {
    fn from(loads: &CanonicalLoads) -> Self {
        Self(Of::Loads(loads.clone(), OnceLock::new()))
    }
}

impl From<[u8; 32]> for LoadsSha256 {
    fn from(hash: [u8; 32]) -> Self {
        Self(Of::Hash(hash))
    }
}

impl PartialEq<[u8; 32]> for LoadsSha256 {
    fn eq(&self, hash: &[u8; 32]) -> bool {
        self.get() == *hash
    }
}

impl PartialEq for LoadsSha256 {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for LoadsSha256 {}
