//! The sizes that the exact arithmetic covers.

/// Most logical experts per layer: the sum of 2^14 rounded loads of at most 2^48 fits in 64 bits.
pub const MAX_EXPERTS: u64 = 1 << 14;
/// Most slots per layer: the packing loads of so many slots sum to less than 2^60.
pub const MAX_REPLICAS: u64 = 1 << 20;
/// Most slots of a whole plan: three 64-bit tables of so many slots fit in 6 GiB.
pub const MAX_SLOTS: u64 = 1 << 28;
