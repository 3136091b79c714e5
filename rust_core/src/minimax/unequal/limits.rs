//! What a search on unequal GPUs may spend beyond the budget of its effort.

/// Turns of swapping at least: columns, which some budgets reassign instead, are of equal GPUs.
pub(super) const FEWEST_SWAPS: usize = 32;

/// Transfers that are tried at least: if GPUs differ much in speed or slots, the first replica counts may be
/// far from good ones.
pub(super) const FEWEST_TRANSFERS: usize = 4;

/// Zones with fewer slots than this may try more transfers, in inverse proportion.
pub(super) const SLOTS_OF_MANY_TRANSFERS: usize = 512;

/// So many times the packings of groups that are planned are listed: what a node carries for all its GPUs
/// does not tell whether it has slots for replicas of what it carries.
pub(super) const LISTED_PACKINGS: usize = 8;

/// Layers with fewer slots than this may plan more packings of groups, in inverse proportion.
pub(super) const SLOTS_OF_MANY_PACKINGS: usize = 64;

/// Slots times GPUs up to which other counts, and the plan of `multiwindow`, are candidates: both take time in
/// proportion, and this is some ten milliseconds.
pub(super) const MOST_TO_PLACE_AGAIN: usize = 1 << 23;

/// Transfers are not tried if there may be more than so many around one GPU: its slots times all slots.
pub(super) const MOST_TRANSFERS_LISTED: usize = 1 << 22;

/// Placements of zones with up to so many slots are searched for the best, if all replica counts are tried.
pub(super) const MOST_SLOTS_SEARCHED: usize = 16;

/// Steps of that search for each unit of work that a budget has for a slot: milliseconds at most.
pub(super) const STEPS_OF_SEARCH: u64 = 256;
