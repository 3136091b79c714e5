//! Loads of any type and sizes: planned, verified, compared with the naive reference.

use eplb_core::{CanonicalLoads, Effort, Options, Policy, Sizes, Topology, certify, verify};

use super::reference;
use super::{Bytes, certified, loads};

/// Plans a problem made from `bytes`: sizes, a type, loads of that type.
pub(crate) fn check(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let kind = bytes.below(16);
    if kind == 15 {
        // Any sizes whatever get an answer.
        let sizes = Sizes {
            num_experts: bytes.edge(),
            num_replicas: bytes.edge(),
            num_groups: bytes.edge(),
            num_nodes: bytes.edge(),
            num_gpus: bytes.edge(),
        };
        return drop(Topology::new(sizes));
    }
    let sizes = bytes.small_sizes();
    let layers = 1 + bytes.below(2) as usize;
    if let Some(loads) = loads::read(kind, &mut bytes, layers, sizes.num_experts as usize) {
        check_plans(&loads, &sizes);
    }
}

fn check_plans(loads: &CanonicalLoads, sizes: &Sizes) {
    let topology = Topology::new(*sizes).expect("these sizes go together");
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    check_minimax(loads, &topology);
    for policy in [Policy::DeepSeek, Policy::Adaptive] {
        // One thread: another may still hold memory when leaks are looked for.
        let (plan, _) = certified(loads, &topology, policy, 1).expect("loads and sizes agree");
        for layer in 0..loads.layers() {
            let expected = reference::plan(loads.row(layer), sizes, policy == Policy::Adaptive);
            assert_eq!(plan.phy2log()[layer * slots..][..slots], expected.phy2log);
            assert_eq!(plan.rank()[layer * slots..][..slots], expected.rank);
            assert_eq!(plan.logcnt()[layer * experts..][..experts], expected.logcnt);
        }
        let certificate = certify(&plan, loads).expect("the loads are the plan's");
        assert_eq!(verify(&plan, &certificate, loads), Ok(()));
        for layer in &certificate.layers {
            assert!(layer.lower_bound <= layer.max_load);
        }
    }
}

/// What has to hold of every plan of `minimax`.
fn check_minimax(loads: &CanonicalLoads, topology: &Topology) {
    let distinct = topology.slots_per_gpu() <= topology.num_experts() / topology.nodes();
    for effort in [Effort::Fast, Effort::Default] {
        let planned = certified(loads, topology, Options::minimax(effort), 1);
        let Ok((plan, certificate)) = planned else {
            assert!(!distinct);
            continue;
        };
        assert!(distinct && plan.duplicates().iter().all(|&duplicates| duplicates == 0));
        assert_eq!(verify(&plan, &certificate, loads), Ok(()));
        let published = [Policy::DeepSeek, Policy::Adaptive]
            .map(|policy| certified(loads, topology, policy, 1).expect("loads and sizes agree"));
        for (i, (other, of_other)) in published.iter().enumerate() {
            for layer in 0..loads.layers() {
                if of_other.layers[layer].max_load >= certificate.layers[layer].max_load {
                    continue;
                }
                // The search ends at its target; the fast effort is compared with `deepseek` alone, with
                // one group whatever its target.
                let above = certificate.layers[layer].gap() > effort.target_gap(topology);
                let compared = match effort {
                    Effort::Fast => i == 0 && (above || topology.groups() == 1),
                    _ => above,
                };
                if compared {
                    assert!(other.duplicates()[layer] > 0);
                    assert!(!above || certificate.layers[layer].beaten_by_duplicates);
                }
            }
        }
    }
}
