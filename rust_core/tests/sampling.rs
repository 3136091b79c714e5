//! Synthetic loads: what depends on what, and options out of range. Equality with an oracle in plain
//! integers, and statistics, are tested from Python.

use eplb_core::sampling::{Drift, Family, MAX_DOMAINS, MODELS, Model, Sample};

fn model() -> Sample {
    Sample { layers: 3, ..Model::named("olmoe-1b-7b").unwrap().sample() }
}

/// A hash of loads: FNV-1a.
fn hash(loads: &[u64]) -> u64 {
    let bytes = loads.iter().flat_map(|load| load.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn loads_are_those_of_every_build() {
    let sample = Sample { windows: 4, domains: 2, ..Model::named("deepseek-v3").unwrap().sample() };
    assert_eq!(hash(&sample.loads().unwrap()), 9_342_582_162_181_210_001);
    let families = Family::ALL.map(|family| hash(&family.loads(8, 256, 1).unwrap()));
    let expected = [
        15_983_744_948_521_013_811,
        14_259_034_545_960_971_791,
        4_956_162_184_338_311_063,
        9_135_734_905_478_672_280,
        3_289_120_139_515_873_152,
        10_542_539_647_949_685_999,
        5_193_319_933_442_688_108,
    ];
    assert_eq!(families, expected);
}

#[test]
fn drifts_are_those_of_every_build() {
    let hashes = Drift::ALL.map(|drift| {
        let sample = Sample { windows: 30, domains: 10, drift: Some(drift), ..model() };
        hash(&sample.loads().unwrap())
    });
    assert_eq!(
        hashes,
        [
            5_605_093_067_072_938_910,
            5_540_067_467_220_077_129,
            17_315_197_566_763_332_515,
            2_161_015_784_821_750_935
        ]
    );
}

#[test]
fn a_drift_has_a_name_and_several_domains() {
    for drift in Drift::ALL {
        assert_eq!(drift.to_string().parse::<Drift>().unwrap(), drift);
        for domains in [0, 1, MAX_DOMAINS + 1] {
            let sample = Sample { windows: 99, domains, drift: Some(drift), ..model() };
            let error = sample.loads().unwrap_err().to_string();
            let end = if domains == 0 { "at least 1" } else { "2 to 64 with drift=" };
            assert!(error.contains(end), "{error}");
        }
    }
    let error = "run".parse::<Drift>().unwrap_err().to_string();
    assert_eq!(error, "unknown drift \"run\"; expected one of walk, blocks, daynight, redraw");
}

#[test]
fn every_assignment_is_counted_and_no_expert_has_a_token_twice() {
    for model in MODELS {
        let sample = Sample { layers: 2, tokens: 1000, windows: 2, ..model.sample() };
        let loads = sample.loads().unwrap();
        for row in loads.chunks(model.experts as usize) {
            assert_eq!(row.iter().sum::<u64>(), 1000 * model.top_k, "{}", model.name);
            assert!(row.iter().all(|&load| load <= 1000), "{}", model.name);
        }
        assert_eq!(loads.len() as u64, 2 * 2 * model.experts);
    }
}

#[test]
fn more_layers_and_windows_leave_the_first_as_they_are() {
    let few = model().loads().unwrap();
    let more = Sample { layers: 5, windows: 3, ..model() }.loads().unwrap();
    assert_eq!(few, more[..3 * 64]);
    assert_ne!(few, more[5 * 64..8 * 64]);
    let domains = Sample { windows: 6, domains: 2, ..model() }.loads().unwrap();
    let one = Sample { windows: 3, ..model() }.loads().unwrap();
    assert_eq!(one, domains[..one.len()]);
    let family = Family::Zipf12.loads(5, 64, 3).unwrap();
    assert_eq!(Family::Zipf12.loads(2, 64, 3).unwrap(), family[..2 * 64]);
}

#[test]
fn few_experts_are_not_all_chosen_by_every_token() {
    let model = Model::named("deepseek-v3").unwrap();
    for (experts, top_k) in [(1, 1), (4, 1), (8, 2), (31, 7), (32, 8), (512, 8)] {
        assert_eq!(model.sample_with_experts(experts).top_k, top_k);
    }
}

#[test]
fn names() {
    for model in &MODELS {
        assert_eq!(Model::named(model.name).unwrap(), model);
    }
    for family in Family::ALL {
        assert_eq!(family.to_string().parse(), Ok(family));
    }
    let error = Model::named("a'\n").unwrap_err().to_string();
    assert!(error.starts_with("unknown model \"a'\\n\"; expected one of deepseek-v3, "), "{error}");
    let error = "zipf".parse::<Family>().unwrap_err().to_string();
    assert!(
        error.starts_with("unknown family \"zipf\"; expected one of lognormal 0.5, "),
        "{error}"
    );
}

#[test]
fn options_out_of_range() {
    let loads = [
        (Sample { layers: 0, ..model() }, "layers=0 is out of range; expected at least 1"),
        (Sample { domains: 0, ..model() }, "domains=0 is out of range; expected at least 1"),
        (
            Sample { experts: 16_385, ..model() },
            "experts=16385 is out of range; expected at most 16384",
        ),
        (
            Sample { top_k: 65, ..model() },
            "top_k=65 is out of range; expected at most 64, the number of experts: a token goes to an expert at \
             most once",
        ),
        (
            Sample { tokens: 1 << 29, ..model() },
            "tokens=536870912 is out of range; expected at most 536870911 with top_k=8",
        ),
        (
            Sample { windows: u64::MAX, ..model() },
            "windows=18446744073709551615 is out of range; expected at most 1048576 with 64 experts",
        ),
        (
            Sample { layers: 1 << 20, windows: 2, ..model() },
            "layers=1048576 is out of range; expected at most 524288 with 2 x 64 loads (windows x experts) in a \
             layer",
        ),
        (
            Sample { windows: 3, domains: 4, ..model() },
            "domains=4 is out of range; expected at most 3, the number of windows",
        ),
        (
            Sample { outliers: [3, 2], ..model() },
            "outliers[0]=3 is out of range; expected at most 2, the most outliers",
        ),
        (
            Sample { outliers: [0, u64::MAX], ..model() },
            "outliers[1]=18446744073709551615 is out of range; expected at most 16384",
        ),
        (
            Sample { spread: -0.1, ..model() },
            "spread=-0.1 is out of range; expected 0 to 4 (real models: 0.1 to 1.6)",
        ),
        (
            Sample { spread: f64::NAN, ..model() },
            "spread=NaN is out of range; expected 0 to 4 (real models: 0.1 to 1.6)",
        ),
    ];
    for (sample, message) in loads {
        assert_eq!(sample.loads().unwrap_err().to_string(), message);
    }
    for (layers, experts, seed, message) in [
        (0, 4, 0, "layers=0 is out of range; expected 1 to 64"),
        (65, 4, 0, "layers=65 is out of range; expected 1 to 64"),
        (1, 16_385, 0, "experts=16385 is out of range; expected 1 to 16384"),
        (1, 4, 1 << 38, "seed=274877906944 is out of range; expected 0 to 274877906943"),
    ] {
        let error = Family::Dirichlet03.loads(layers, experts, seed).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn the_ends_of_the_ranges() {
    let one = Sample { layers: 1, experts: 1, top_k: 1, tokens: 5, ..model() };
    assert_eq!(one.loads().unwrap(), [5]);
    let all = Sample { layers: 1, experts: 4, top_k: 4, tokens: 9, spread: 4.0, ..model() };
    assert_eq!(all.loads().unwrap(), [9; 4]);
    for spread in [0.0, -0.0, f64::from_bits(1), 1e-5, 4.0] {
        let sample = Sample { layers: 1, tokens: u64::from(u32::MAX) / 8, spread, ..model() };
        let loads = sample.loads().unwrap();
        assert_eq!(loads.iter().sum::<u64>(), sample.tokens * 8, "{spread}");
    }
    for family in Family::ALL {
        assert_eq!(family.loads(64, 1, (1 << 38) - 1).unwrap().len(), 64);
    }
}
