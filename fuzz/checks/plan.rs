//! Loads of any type and sizes: planned, verified, compared with the naive twin.

use std::fmt::Display;

use eplb_core::{
    Bf16, CanonicalLoads, Certificate, Effort, Error, F16, Load, Options, Policy, Sizes, Topology,
    plan, plan_certified, verify,
};

use super::Bytes;
use super::twin::{self, Exact};

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
    match kind {
        0 => check_integers(&mut bytes, &sizes, u8::from_le_bytes),
        1 => check_integers(&mut bytes, &sizes, u16::from_le_bytes),
        2 => check_integers(&mut bytes, &sizes, u32::from_le_bytes),
        3 => check_integers(&mut bytes, &sizes, u64::from_le_bytes),
        4 => check_integers(&mut bytes, &sizes, i8::from_le_bytes),
        5 => check_integers(&mut bytes, &sizes, i16::from_le_bytes),
        6 => check_integers(&mut bytes, &sizes, i32::from_le_bytes),
        7 => check_integers(&mut bytes, &sizes, i64::from_le_bytes),
        8 => check_floats(&mut bytes, &sizes, f32::from_le_bytes, |x| x),
        9 => check_floats(&mut bytes, &sizes, f64::from_le_bytes, |x| x),
        10 => {
            let half = |bytes| F16(u16::from_le_bytes(bytes));
            check_floats(&mut bytes, &sizes, half, |x| twin::half(x.0));
        }
        11 => {
            let bfloat = |bytes| Bf16(u16::from_le_bytes(bytes));
            check_floats(&mut bytes, &sizes, bfloat, |x| twin::bfloat(x.0));
        }
        // Few values: ties. Hot experts: many copies.
        12 => check_integers(&mut bytes, &sizes, |[byte]| byte % 4),
        13 => check_integers(&mut bytes, &sizes, |[byte]| 1_u64 << (byte % 64)),
        _ => check_integers(&mut bytes, &sizes, |[byte]| (1_u64 << 40) - u64::from(byte)),
    }
}

fn check_integers<const N: usize, T: Load + TryInto<u64>>(
    bytes: &mut Bytes<'_>,
    sizes: &Sizes,
    from: impl Fn([u8; N]) -> T,
) {
    let exact = |x: T| match x.try_into() {
        Ok(x) => Ok((x, 0)),
        Err(_) => Err(x.to_string()),
    };
    check_loads(bytes, sizes, from, exact);
}

fn check_floats<const N: usize, T: Load, F: Into<f64> + Copy + Display>(
    bytes: &mut Bytes<'_>,
    sizes: &Sizes,
    from: impl Fn([u8; N]) -> T,
    value: impl Fn(T) -> F,
) {
    let exact = |x: T| match value(x).into() {
        float if float.is_finite() && float >= 0.0 => Ok(twin::exact(float)),
        _ => Err(value(x).to_string()),
    };
    check_loads(bytes, sizes, from, exact);
}

/// Reads loads `from` bytes, which have an `exact` value or else are refused by this text.
fn check_loads<const N: usize, T: Load>(
    bytes: &mut Bytes<'_>,
    sizes: &Sizes,
    from: impl Fn([u8; N]) -> T,
    exact: impl Fn(T) -> Result<Exact, String>,
) {
    let (layers, experts) = (1 + bytes.below(2) as usize, sizes.num_experts as usize);
    let loads: Vec<T> = (0..layers * experts).map(|_| from(bytes.array())).collect();
    let canonical = CanonicalLoads::new(&loads, layers, experts);
    let mut values = Vec::new();
    for (at, &load) in loads.iter().enumerate() {
        match exact(load) {
            Ok(value) => values.push(value),
            Err(value) => {
                let (layer, expert) = (at / experts, at % experts);
                let refusal = Error::LoadValue { layer, expert, value };
                assert_eq!(canonical, Err(refusal));
                return;
            }
        }
    }
    let canonical = canonical.expect("all loads are finite and not negative");
    for (layer, row) in values.chunks(experts).enumerate() {
        let (row, exponent) = twin::canonical(row);
        assert_eq!(canonical.row(layer), row);
        assert_eq!(canonical.exponents()[layer], exponent);
    }
    check_plans(&canonical, sizes);
}

fn check_plans(loads: &CanonicalLoads, sizes: &Sizes) {
    let topology = Topology::new(*sizes).expect("these sizes go together");
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    check_minimax(loads, topology);
    for policy in [Policy::DeepSeek, Policy::Adaptive] {
        // One thread: another may still hold memory when leaks are looked for.
        let plan = plan(loads, topology, policy, 1).expect("loads and sizes agree");
        for layer in 0..loads.layers() {
            let twin = twin::plan(loads.row(layer), sizes, policy == Policy::Adaptive);
            assert_eq!(plan.phy2log()[layer * slots..][..slots], twin.phy2log);
            assert_eq!(plan.rank()[layer * slots..][..slots], twin.rank);
            assert_eq!(plan.logcnt()[layer * experts..][..experts], twin.logcnt);
        }
        let certificate = Certificate::new(&plan, loads).expect("the loads are the plan's");
        assert_eq!(verify(&plan, &certificate, loads), Ok(()));
        for (max, bound) in certificate.max_load.iter().zip(&certificate.lower_bound) {
            assert!(bound <= max);
        }
    }
}

/// What has to hold of every plan of `minimax`.
fn check_minimax(loads: &CanonicalLoads, topology: Topology) {
    let distinct = topology.slots_per_gpu() <= topology.num_experts() / topology.nodes();
    for effort in [Effort::Fast, Effort::Default] {
        let planned = plan_certified(loads, topology, Options::minimax(effort), 1);
        let Ok((plan, certificate)) = planned else {
            assert!(!distinct);
            continue;
        };
        assert!(distinct && plan.duplicates().iter().all(|&duplicates| duplicates == 0));
        assert_eq!(verify(&plan, &certificate, loads), Ok(()));
        let published = [Policy::DeepSeek, Policy::Adaptive].map(|policy| {
            plan_certified(loads, topology, policy, 1).expect("loads and sizes agree")
        });
        for (i, (other, of_other)) in published.iter().enumerate() {
            for layer in 0..loads.layers() {
                let compared = i == 0 || effort != Effort::Fast;
                let above_target = certificate.gap()[layer] > effort.target_gap(&topology);
                if of_other.max_load[layer] < certificate.max_load[layer]
                    && above_target
                    && compared
                {
                    assert!(
                        other.duplicates()[layer] > 0 && certificate.beaten_by_duplicates[layer]
                    );
                }
            }
        }
    }
}
