//! A plan of any policy with any certificate: accepted if that is true of it, else refused.

use eplb_core::{
    Bound, CanonicalLoads, Certificate, Effort, Options, Plan, Policy, Topology, plan_certified,
    verify,
};

use super::twin::packing_load;
use super::{Bytes, set_byte_of_hash};

/// Plans a problem made from `bytes`, and changes its certificate, or the loads.
pub(crate) fn check(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let topology = Topology::new(bytes.small_sizes()).expect("these sizes go together");
    let layers = 1 + bytes.below(2) as usize;
    let options = match bytes.below(5) {
        0 => Policy::DeepSeek.into(),
        1 => Policy::Adaptive.into(),
        2 => Options::minimax(Effort::Fast),
        // The highest effort takes its time.
        3 if topology.num_replicas() <= 40 => Options::minimax(Effort::Best),
        _ => Options::minimax(Effort::Default),
    };
    let loads = read_loads(&mut bytes, layers, topology.num_experts());
    let Ok((plan, honest)) = plan_certified(&loads, topology, options, 1) else {
        return;
    };
    assert_eq!(verify(&plan, &honest, &loads), Ok(()));
    assert_loads(&plan, &honest, &loads);
    let mut changed = honest.clone();
    for _ in 0..bytes.below(4) {
        change(&mut bytes, &mut changed);
    }
    // That a layer is beaten is the planner's word, false only where no plan can do better.
    let may = (honest.max_load.iter().zip(&honest.lower_bound)).map(|(max, bound)| max > bound);
    let beaten = changed.beaten_by_duplicates.len() == layers
        && changed.beaten_by_duplicates.iter().zip(may).all(|(&said, may)| may || !said);
    let rest = Certificate {
        beaten_by_duplicates: honest.beaten_by_duplicates.clone(),
        ..changed.clone()
    };
    assert_eq!(verify(&plan, &changed, &loads).is_ok(), beaten && rest == honest);
    // The same certificate for other loads is refused, unless they are the same loads.
    let other = read_loads(&mut bytes, layers, plan.topology().num_experts());
    assert_eq!(verify(&plan, &honest, &other).is_ok(), other == loads);
}

fn read_loads(bytes: &mut Bytes<'_>, layers: usize, experts: usize) -> CanonicalLoads {
    let kind = bytes.below(4);
    let mut load = || match kind {
        0 => bytes.below(4),
        1 => u64::from(u16::from_le_bytes(bytes.array())),
        2 => 1 << bytes.below(64),
        _ => bytes.number(),
    };
    let loads: Vec<u64> = (0..layers * experts).map(|_| load()).collect();
    CanonicalLoads::new(&loads, layers, experts).expect("integers are loads")
}

/// Loads and maxima from the definitions.
fn assert_loads(plan: &Plan, certificate: &Certificate, loads: &CanonicalLoads) {
    let topology = plan.topology();
    let (gpus, experts) = (topology.num_gpus(), topology.num_experts());
    for (i, gpu) in plan.phy2log().chunks(topology.slots_per_gpu()).enumerate() {
        let layer = i / gpus;
        let carried = gpu.iter().map(|&expert| {
            let copies = plan.logcnt()[layer * experts + expert as usize];
            packing_load(loads.row(layer)[expert as usize].into(), copies as u128)
        });
        assert_eq!(u128::from(certificate.gpu_load[i]), carried.sum());
        assert!(certificate.gpu_load[i] <= certificate.max_load[layer]);
    }
    for (layer, gpu_load) in certificate.gpu_load.chunks(gpus).enumerate() {
        assert!(gpu_load.contains(&certificate.max_load[layer]));
        assert!(certificate.lower_bound[layer] <= certificate.max_load[layer]);
        assert!(certificate.bound_without_groups[layer] <= certificate.lower_bound[layer]);
    }
}

fn change(bytes: &mut Bytes<'_>, certificate: &mut Certificate) {
    let kind = bytes.below(9);
    let at = bytes.number() as usize;
    let value = bytes.edge();
    let layers = certificate.max_load.len().max(1);
    let table = match kind {
        0 => &mut certificate.gpu_load,
        1 => &mut certificate.max_load,
        2 => &mut certificate.lower_bound,
        3 => &mut certificate.bound_without_groups,
        4 => return certificate.num_gpus = value as usize,
        5 => return set_byte_of_hash(certificate, at % 32, value as u8),
        6 => {
            let other = Bound::ALL[value as usize % Bound::ALL.len()];
            return certificate.bound[at % layers] = other;
        }
        7 => return certificate.exponents[at % layers] = value as i32,
        _ => {
            let beaten = &mut certificate.beaten_by_duplicates;
            return match beaten.get_mut(at % layers) {
                Some(said) if value < 1 << 32 => *said = !*said,
                _ => beaten.push(true),
            };
        }
    };
    let entries = table.len().max(1);
    match table.get_mut(at % entries) {
        Some(entry) if value & 1 == 0 => *entry = entry.wrapping_add(value >> 1),
        Some(entry) => *entry = value >> 1,
        None => table.push(value),
    }
}
