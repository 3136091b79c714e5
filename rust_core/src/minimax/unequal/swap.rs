//! Swaps: one or two replicas of the GPU that takes longest for as many of another GPU.

use super::gpus::Gpus;
use super::layout::Layout;
use crate::minimax::moves::swap_pairs::{Pair, list_pairs};

/// Two GPUs, and the experts that change places: those of the first one, and of the second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Swap {
    pub(super) to: usize,
    pub(super) pairs: [Option<(u32, u32)>; 2],
}

/// Finds swaps, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct Swaps {
    heavy: Vec<Pair>,
    light: Vec<Pair>,
    /// What each other GPU may take on, most first.
    room: Vec<(u64, u32)>,
}

/// What a swap should do, and may.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aim {
    pub(super) from: usize,
    /// No other GPU may take longer, and `from` need not be faster.
    pub(super) time: u64,
}

impl Swaps {
    /// Looks for a replica of `from` and one of another GPU, whose swap brings `from` to the aim or nearer
    /// to it, and the other GPU not above it. GPUs with most room come first; the first that reaches the
    /// aim is taken, else the swap that takes most off. `work` counts the replicas compared.
    pub(super) fn find(
        &mut self,
        gpus: &Gpus,
        layout: &Layout,
        aim: Aim,
        work: &mut u64,
    ) -> Option<Swap> {
        let Aim { from, time } = aim;
        let excess = layout.load[from].saturating_sub(gpus.most(from, time));
        self.list_room(gpus, layout, aim);
        let mine = layout.on(gpus, from);
        let (mut best, mut best_drop) = (None, 0);
        for &(room, to) in &self.room {
            if room <= best_drop {
                break;
            }
            let theirs = layout.on(gpus, to as usize);
            // Those from here on are too light for the heavier replicas of `from`, and more so for the
            // lighter ones.
            let mut end = 0;
            for &a in mine {
                let heavy = layout.share(a);
                while theirs.get(end).is_some_and(|&b| layout.share(b) + room >= heavy) {
                    end += 1;
                }
                *work += 1;
                for &b in theirs[..end].iter().rev() {
                    *work += 1;
                    let light = layout.share(b);
                    if light + best_drop >= heavy {
                        break;
                    }
                    if !layout.is_on(theirs, a) && !layout.is_on(mine, b) {
                        (best, best_drop) = (Some((to, a, b)), heavy - light);
                        break;
                    }
                }
            }
            if best_drop >= excess {
                break;
            }
        }
        best.map(|(to, a, b)| Swap { to: to as usize, pairs: [Some((a, b)), None] })
    }

    /// The same for two replicas of each GPU, with one of the `partners` GPUs that have most room.
    pub(super) fn find_pairs(
        &mut self,
        gpus: &Gpus,
        layout: &Layout,
        aim: Aim,
        partners: usize,
        work: &mut u64,
    ) -> Option<Swap> {
        let Aim { from, time } = aim;
        let excess = layout.load[from].saturating_sub(gpus.most(from, time));
        self.list_room(gpus, layout, aim);
        let mine = layout.on(gpus, from);
        list_pairs(mine, |expert| layout.share(expert), &mut self.heavy);
        let (mut best, mut best_drop) = (None, 0);
        for &(room, to) in self.room.iter().take(partners) {
            if room <= best_drop {
                break;
            }
            let theirs = layout.on(gpus, to as usize);
            list_pairs(theirs, |expert| layout.share(expert), &mut self.light);
            let mut start = 0;
            for &(heavy, a, c) in &self.heavy {
                // Ascending sums on both sides: the least that drops by no more than the room.
                while self.light.get(start).is_some_and(|pair| pair.0 + room < heavy) {
                    start += 1;
                }
                *work += 1;
                for &(light, b, d) in &self.light[start..] {
                    *work += 1;
                    if light + best_drop >= heavy {
                        break;
                    }
                    let come = [a, c].into_iter().any(|expert| layout.is_on(theirs, expert));
                    if !come && ![b, d].into_iter().any(|expert| layout.is_on(mine, expert)) {
                        (best, best_drop) = (Some((to, (a, b), (c, d))), heavy - light);
                        break;
                    }
                }
            }
            if best_drop >= excess {
                break;
            }
        }
        best.map(|(to, one, two)| Swap { to: to as usize, pairs: [Some(one), Some(two)] })
    }

    fn list_room(&mut self, gpus: &Gpus, layout: &Layout, aim: Aim) {
        self.room.clear();
        for gpu in 0..gpus.len() {
            let room = gpus.most(gpu, aim.time).saturating_sub(layout.load[gpu]);
            if room > 0 && gpu != aim.from {
                self.room.push((room, gpu as u32));
            }
        }
        self.room.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    }
}
