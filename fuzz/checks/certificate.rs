//! A plan of any policy with any certificate: accepted if that is true of it, else refused.

use eplb_core::{
    CanonicalLoads, Certificate, Effort, Options, Placement, Policy, Topology, verify,
};

use super::reference::packing_load;
use super::{Bytes, assert_verdict, certified, change};

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
    let Ok((plan, honest)) = certified(&loads, &topology, options, 1) else {
        return;
    };
    assert_eq!(verify(&plan, &honest, &loads), Ok(()));
    assert_loads(&plan, &honest, &loads);
    let mut changed = honest.clone();
    for _ in 0..bytes.below(4) {
        change(&mut bytes, &mut changed);
    }
    assert_verdict(&plan, &honest, &changed, &loads);
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
fn assert_loads(plan: &Placement, certificate: &Certificate, loads: &CanonicalLoads) {
    let topology = plan.topology();
    let (gpus, experts) = (topology.num_gpus(), topology.num_experts());
    for (i, gpu) in plan.phy2log().chunks(topology.slots_per_gpu()).enumerate() {
        let (layer, gpu_of_layer) = (i / gpus, i % gpus);
        let carried = gpu.iter().map(|&expert| {
            let copies = plan.logcnt()[layer * experts + expert as usize];
            packing_load(loads.row(layer)[expert as usize].into(), copies as u128)
        });
        let claims = &certificate.layers[layer];
        assert_eq!(u128::from(claims.gpu_load[gpu_of_layer]), carried.sum());
    }
    for layer in &certificate.layers {
        assert_eq!(layer.gpu_load.iter().max(), Some(&layer.max_load));
        assert!(layer.lower_bound <= layer.max_load);
        assert!(layer.bound_without_groups <= layer.lower_bound);
    }
}
