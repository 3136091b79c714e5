//! Swaps: one replica of the busiest GPU for one of another GPU.

use crate::layout::Layout;
use crate::sorted_replicas::by_expert::ByExpert;

/// Looks for a replica of the busiest GPU, `from`, and one of another GPU, whose swap brings `from` to
/// `target` or nearer to it, and the other GPU not above it.
///
/// All replicas are in one order, heaviest first: each replica of `from` is compared with those after
/// it, down to the lightest that a GPU could give in exchange. The first pair that reaches the target
/// is taken, else the pair that takes most off; of equal ones the first. `work` counts the replicas
/// compared.
pub(crate) fn find(
    replicas: &ByExpert,
    layout: &Layout,
    from: usize,
    target: u64,
    work: &mut u64,
) -> Option<(u32, u32)> {
    let excess = layout.load[from].saturating_sub(target);
    let lightest = layout.load.iter().copied().min().unwrap_or(0);
    let most = target.checked_sub(lightest)?;
    let mut best = None;
    let mut best_drop = 0;
    for &a in layout.on(from) {
        let heavy = replicas.sorted[a as usize];
        for (b, light) in (heavy.end..).zip(&replicas.sorted[heavy.end as usize..]) {
            let drop = heavy.load - light.load;
            if drop > most {
                break;
            }
            *work += 1;
            if drop <= best_drop {
                continue;
            }
            let to = layout.home[b as usize] as usize;
            if layout.load[to] + drop > target
                || to == from
                || (heavy.count() > 1 && layout.holds(to, heavy))
                || (light.count() > 1 && layout.holds(from, *light))
            {
                continue;
            }
            if drop >= excess {
                return Some((a, b));
            }
            (best, best_drop) = (Some((a, b)), drop);
        }
    }
    best
}
