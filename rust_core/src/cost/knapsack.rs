//! The knapsack of counting: which experts may have big replicas.

/// The most slots that big replicas save, if there is room for so many of them. Takes for each expert the
/// slots that it saves, and its big replicas. The last one may be big in part, which saves at least as many.
pub(super) fn most_saved(savings: &mut [(u64, u64)], mut room: u64) -> u64 {
    savings.sort_unstable_by(|a, b| (b.0 * a.1).cmp(&(a.0 * b.1)));
    let mut all = 0;
    for &(saved, big) in &*savings {
        if big > room {
            return all + saved * room / big;
        }
        all += saved;
        room -= big;
    }
    all
}
