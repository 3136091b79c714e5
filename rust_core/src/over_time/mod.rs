//! Planning over time: plans for the windows to come, and updates that move little.
//!
//! A [`LoadHistory`](crate::LoadHistory) keeps a few rows of merged windows for each layer, with
//! weights. A placement is judged by its GPU loads in all rows ([`objective`]) and improved by moves
//! that are worth their price ([`search`]): estimates for all moves around a busy GPU ([`screen`]), and
//! exact gains ([`state`]) for the best of them. It begins with the placement in force
//! ([`previous`], [`repair`]) or with a new one ([`cold`], for the policy [`multiwindow`]); both fill
//! empty slots in the same way ([`complete`](mod@complete)), and keep groups in their zones
//! ([`groups`]). The weight copies from one placement to the
//! next are put in steps ([`transfers`](mod@transfers)). All numbers are integers: equal histories
//! give equal plans.

mod cold;
mod complete;
mod error;
#[cfg(test)]
mod exhaustive;
mod fleet;
mod groups;
pub(crate) mod multiwindow;
mod objective;
pub(crate) mod previous;
mod repair;
pub(crate) mod replan;
mod screen;
mod search;
mod slot;
mod state;
#[cfg(test)]
mod tests;
pub(crate) mod transfers;
