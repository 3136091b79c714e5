//! The moves that improve a layout. None of them puts an expert twice on a GPU.

pub(super) mod reassign_column;
pub(super) mod swap;
pub(super) mod swap_pairs;
pub(super) mod transfer_replica;
