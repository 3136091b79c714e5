//! Exchanges of one copy of the busiest GPU for one of another.

use super::layout::Layout;
use super::replicas::Replicas;

/// Looks for a copy of the busiest GPU, `from`, and one of another GPU, whose exchange brings
/// `from` to `target` or nearer to it, and the other not above it.
///
/// All copies are in one order, heaviest first: each copy of `from` is compared with those after
/// it, from its like to the lightest that another GPU could do without. The first pair that
/// reaches the target is taken, else the pair that takes most off; of equal ones the first.
/// `work` counts the copies compared.
pub(super) fn find(
    replicas: &Replicas,
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
                || (heavy.copies() > 1 && layout.holds(to, heavy))
                || (light.copies() > 1 && layout.holds(from, *light))
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
