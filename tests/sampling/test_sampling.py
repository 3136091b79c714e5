"""Synthetic loads: the same everywhere, and as skewed as they say."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sampling_reference
from eplb import EplbError
from eplb.sampling import DRIFTS, FAMILIES, PRESETS, family, sample
from hypothesis import given
from hypothesis import strategies as st

# ---- the same everywhere ----


@pytest.mark.parametrize(
    ("arguments", "digest"),
    [
        ({"model": "deepseek-v3"}, "34d8fa17a84909b2"),
        ({"model": "deepseek-v3", "seed": 1}, "060147e4610d7949"),
        ({"model": "deepseek-v3", "seed": 2**64 - 1}, "5c7f01239c8c50eb"),
        ({"model": "deepseek-v3", "layers": 2, "windows": 6, "domains": 3}, "42850c16048c7c14"),
        ({"model": "deepseek-v3", "tokens": 10**8}, "64ab747f915e8458"),
        ({"model": "deepseek-v3-single-domain", "seed": 2}, "81a7cc8670ffa4d6"),
        ({"model": "deepseek-v4-flash"}, "9132b72db6f5602d"),
        ({"model": "deepseek-v4-flash", "tokens": 100}, "a790677c8011e6c0"),
        ({"model": "deepseek-v2-lite"}, "fd8bc321b5960a57"),
        ({"model": "deepseek-moe-16b"}, "975c33a94ae71daa"),
        ({"model": "olmoe-1b-7b"}, "facce95bee811abc"),
        ({"model": "qwen3-235b-a22b"}, "39df32c9141226a0"),
        ({"experts": 100, "top_k": 3, "spread": 4, "outliers": 50}, "bcdab4e5b9fd49c2"),
        ({"layers": 2, "windows": 30, "drift": "walk"}, "ad4ad7e1ee3d2004"),
        ({"layers": 2, "windows": 30, "drift": "blocks"}, "6fb37ceec38f068a"),
        ({"layers": 2, "windows": 30, "drift": "daynight"}, "84064cc72d17db4c"),
        ({"layers": 2, "windows": 30, "drift": "redraw", "domains": 64}, "c45992b04f9981ae"),
    ],
)
def test_pinned_digests(arguments: dict[str, Any], digest: str) -> None:
    """A digest that changes is a breaking change."""
    loads = sample(**arguments)
    assert hashlib.sha256(loads.astype("<i8").tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("model", PRESETS)
def test_presets_equal_the_reference(model: str) -> None:
    preset = PRESETS[model]
    loads = sample(model, seed=7, layers=2, windows=3, domains=2)
    for window, layer, domain in ((0, 0, 0), (2, 1, 1)):
        assert loads[window, layer].tolist() == sampling_reference.layer_loads(
            7,
            layer,
            experts=preset.experts,
            top_k=preset.top_k,
            tokens=100_000,
            spread=preset.spread,
            outliers=preset.outliers,
            window=window,
            domain=domain,
        )


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("domains", [2, 10])
def test_drifts_equal_the_reference(drift: str, domains: int) -> None:
    preset = PRESETS["deepseek-v3"]
    loads = sample(seed=5, layers=2, experts=48, windows=30, domains=domains, drift=drift)
    mixes = sampling_reference.mixes(drift, 5, 30, domains)
    for window, layer in ((0, 0), (7, 1), (29, 0)):
        assert loads[window, layer].tolist() == sampling_reference.layer_loads(
            5,
            layer,
            experts=48,
            top_k=8,
            tokens=100_000,
            spread=preset.spread,
            outliers=preset.outliers,
            window=window,
            mix=mixes[window],
        )


@st.composite
def _sizes(draw: st.DrawFn) -> dict[str, Any]:
    experts = draw(st.integers(1, 20))
    top_k = draw(st.integers(1, experts))
    return {
        "experts": experts,
        "top_k": top_k,
        "tokens": draw(st.integers(1, 300) | st.integers(1, (2**32 - 1) // top_k)),
        "spread": draw(st.floats(0, 4)),
        "outliers": draw(st.integers(0, experts // 2)),
    }


@given(_sizes(), st.integers(0, 2**64 - 1))
def test_any_sizes_equal_the_reference_and_keep_the_sums(sizes: dict[str, Any], seed: int) -> None:
    loads = sample(seed=seed, layers=2, **sizes)
    hot = (sizes["outliers"], sizes["outliers"])
    for layer in range(2):
        expected = sampling_reference.layer_loads(seed, layer, **(sizes | {"outliers": hot}))
        assert loads[layer].tolist() == expected
    assert loads.dtype == np.int64
    assert (loads.sum(axis=1) == sizes["tokens"] * sizes["top_k"]).all()
    assert loads.min() >= 0
    assert loads.max() <= sizes["tokens"]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    ("layer", "experts", "seed"), [(0, 256, 1), (63, 16, 2), (7, 100, 2**38 - 1), (0, 1, 5)]
)
def test_families_equal_the_reference(name: str, layer: int, experts: int, seed: int) -> None:
    loads = family(name, layer + 1, experts, seed)
    assert loads.shape == (layer + 1, experts)
    assert loads.dtype == np.int64
    expected = sampling_reference.family_layer(name, layer, experts, seed)
    assert loads[layer].tolist() == expected


def test_importing_it_loads_numpy_alone() -> None:
    code = """
import json, sys
import numpy
before = set(sys.modules)
import eplb.sampling
tops = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(tops - sys.stdlib_module_names)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(run.stdout)) <= {"eplb", "numpy"}


# ---- what depends on what ----


def test_another_seed_is_another_sample() -> None:
    samples = [sample("olmoe-1b-7b", seed=seed) for seed in (0, 1, 2, 2**32, 2**63, 2**64 - 1)]
    for i, one in enumerate(samples):
        for other in samples[:i]:
            assert (one != other).mean() > 0.9
            correlation = np.corrcoef(np.log(one).ravel(), np.log(other).ravel())[0, 1]
            assert abs(correlation) < 0.15  # 1024 loads: 4 deviations are 0.125


def test_more_layers_and_windows_leave_the_first_as_they_are() -> None:
    loads = sample(layers=3, windows=4)
    np.testing.assert_array_equal(sample(layers=5, windows=9)[:4, :3], loads)
    np.testing.assert_array_equal(sample(layers=2, windows=4), loads[:, :2])
    np.testing.assert_array_equal(sample(layers=3), loads[0])
    np.testing.assert_array_equal(sample(layers=3, windows=1)[0], loads[0])
    np.testing.assert_array_equal(sample(layers=3, windows=8, domains=2)[:4], loads)
    assert (loads[0] != loads[1]).mean() > 0.9


def test_layers_are_independent() -> None:
    logs = np.log(sample("qwen3-235b-a22b"))
    correlations = np.corrcoef(logs)[np.triu_indices(len(logs), 1)]
    assert abs(correlations.mean()) < 0.01
    assert abs(correlations).max() < 0.45  # 4371 pairs of 128 loads: 5 deviations


def test_the_sample_is_the_callers() -> None:
    loads = sample("olmoe-1b-7b")
    loads[0, 0] = 0
    assert sample("olmoe-1b-7b")[0, 0] != 0


# ---- as skewed as it says ----


@pytest.mark.parametrize("model", PRESETS)
def test_shape_and_spread_of_the_presets(model: str) -> None:
    preset = PRESETS[model]
    assert sample(model).shape == (preset.layers, preset.experts)
    logs = np.log(sample(model, layers=200, outliers=0, tokens=10**6))
    assert logs.std(axis=1, ddof=1).mean() == pytest.approx(preset.spread, rel=0.02)
    scaled = (logs - logs.mean(axis=1, keepdims=True)) / preset.spread
    assert (scaled**3).mean() == pytest.approx(0, abs=0.15)  # normal: no skew, no heavy tails
    assert (scaled**4).mean() == pytest.approx(3, abs=0.2)


def test_the_spread_that_is_asked_for() -> None:
    for spread in (0.05, 0.5, 2.0):
        logs = np.log(sample(layers=100, spread=spread, outliers=0, tokens=10**8))
        assert logs.std(axis=1, ddof=1).mean() == pytest.approx(spread, rel=0.03)
    even = sample(layers=100, spread=0, outliers=0, tokens=10**8)
    assert np.log(even).std() < 0.001


def test_outliers_carry_4_to_13_times_the_mean() -> None:
    shares = sample(layers=600, spread=0, tokens=10**7) / (10**7 * 8 / 256)
    hot = shares > 2
    assert set(hot.sum(axis=1).tolist()) == {1, 2, 3}
    assert np.bincount(hot.sum(axis=1))[1:].min() > 150
    assert 3.98 < shares[hot].min() < 4.1
    assert 12.9 < shares[hot].max() < 13.05
    assert shares[hot].mean() == pytest.approx(8.5, abs=0.3)
    assert np.bincount(np.nonzero(hot)[1], minlength=256).max() < 20  # anywhere: 1200 over 256


def test_outliers_that_fill_a_layer() -> None:
    """Half of the experts cannot all carry 4 to 13 times the mean; they carry it of the others'."""
    loads = np.sort(sample(layers=50, experts=64, top_k=1, outliers=32, spread=0, tokens=10**8))
    multiples = loads[:, 32:] / loads[:, :32].mean(axis=1, keepdims=True)
    assert 3.95 < multiples.min() < 4.1
    assert 12.9 < multiples.max() < 13.05


def test_a_token_goes_to_an_expert_once() -> None:
    """With more skew than a layer can carry the hottest experts get (nearly) every token."""
    loads = sample(layers=200, experts=16, top_k=4, spread=3, outliers=0)
    assert loads.max() <= 100_000
    assert (loads.max(axis=1) > 99_000).mean() > 0.9
    np.testing.assert_array_equal(
        sample(layers=3, experts=8, top_k=8, tokens=9), np.full((3, 8), 9)
    )
    assert sample(layers=1, experts=1, top_k=1, tokens=5).tolist() == [[5]]


def test_log_loads_of_windows_correlate_as_measured() -> None:
    windows = np.log(sample(layers=58, windows=12, domains=3, outliers=0))
    logs = windows - windows.mean(axis=2, keepdims=True)
    correlations = np.corrcoef(logs.reshape(12, -1))
    domain = np.repeat([0, 1, 2], 4)
    same = domain[:, np.newaxis] == domain
    assert correlations[same].min() > 0.95
    assert correlations[same & ~np.eye(12, dtype=np.bool_)].max() < 0.98
    assert 0.27 < correlations[~same].min() <= correlations[~same].max() < 0.33


def test_domains_are_equal_shares_of_the_windows() -> None:
    windows = np.log(sample("olmoe-1b-7b", windows=11, domains=4))
    near = [np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9 for a, b in pairwise(windows)]
    lengths = [len(part) for part in "".join("s" if n else " " for n in near).split(" ")]
    assert [length + 1 for length in lengths] == [2, 3, 3, 3]


def lagged(drift: str) -> Any:
    """Correlations of log loads of two windows, by how far they are apart: of the mean layer and window."""
    windows = np.log(
        1 + sample("deepseek-v3-single-domain", seed=1, layers=8, windows=49, drift=drift)
    )
    logs = (windows - windows.mean(axis=2, keepdims=True)).reshape(49, -1)
    correlations = np.corrcoef(logs)
    return [correlations.diagonal(lag).mean() for lag in range(49)]


def test_drifts_are_what_they_say() -> None:
    """Between domains 0.3, within one 0.97; a walk is slow, a day is 24 windows long."""
    walk, blocks, day, redraw = (lagged(drift) for drift in DRIFTS)
    assert walk[1] > 0.9
    assert walk[1] > walk[6] > walk[12] > walk[24] > 0.5
    assert blocks[1] == pytest.approx((5 * 0.97 + 0.30) / 6, abs=0.03)
    assert blocks[6] == pytest.approx(0.30, abs=0.03)
    assert (day[24], day[48]) == pytest.approx((day[1], day[1]), abs=0.05)
    assert day[12] < day[6] < day[1]
    far = sum(redraw[10:30]) / 20
    assert redraw[1] == pytest.approx(far, abs=0.05), "no window knows of the one before"
    assert redraw[1] < walk[1] - 0.2


@pytest.mark.parametrize("drift", DRIFTS)
def test_windows_of_a_drift_do_not_depend_on_their_number(drift: str) -> None:
    loads = sample(layers=3, windows=20, drift=drift)
    np.testing.assert_array_equal(sample(layers=2, windows=50, drift=drift)[:20], loads[:, :2])
    assert (loads.sum(axis=2) == 800_000).all()
    assert loads.max() <= 100_000
    assert not (sample(layers=3, windows=20, drift=drift, seed=1) == loads).all(axis=(1, 2)).any()
    np.testing.assert_array_equal(sample(layers=3, windows=20, drift=drift, domains=10), loads)


def test_blocks_come_back() -> None:
    windows = np.log(sample(layers=8, windows=24, domains=3, drift="blocks", outliers=0))
    correlations = np.corrcoef(windows.reshape(24, -1))
    domain = np.arange(24) // 6 % 3
    assert ((correlations > 0.9) == (domain == domain[:, np.newaxis])).all()


@pytest.mark.parametrize(
    ("tokens", "experts"), [(1, 16), (30, 16), (4_000, 16), (500_000, 16), (50, 11)]
)
def test_counts_are_multinomial(tokens: int, experts: int) -> None:
    """Means, variances and covariances of counts over many layers with equal odds."""
    layers, top_k = 4000, 1
    loads = sample(
        layers=layers, experts=experts, top_k=top_k, tokens=tokens, spread=0, outliers=0
    ).astype(np.float64)
    trials = tokens * top_k
    expected = np.full((experts, experts), -trials / experts**2)
    np.fill_diagonal(expected, trials / experts * (1 - 1 / experts))
    deviations = np.cov(loads.T) / expected[0, 0] - expected / expected[0, 0]
    assert abs(deviations).max() < 5 * math.sqrt((2 + experts / trials) / layers)
    means = (loads.mean(axis=0) - trials / experts) / math.sqrt(expected[0, 0] / layers)
    assert abs(means).max() < 4.5


# ---- bad arguments ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "gpt"}, "^unknown model 'gpt'; expected one of deepseek-v3, "),
        ({"seed": -1}, r"seed=-1 is out of range; expected 0 to 18446744073709551615"),
        ({"seed": 2**64}, "seed=18446744073709551616 is out of range; expected 0 to"),
        ({"layers": 0}, "layers=0 is too small; expected at least 1"),
        ({"experts": -3}, "experts=-3 is too small; expected at least 1"),
        ({"experts": 2**14 + 1}, "experts=16385 is out of range; expected at most 16384"),
        (
            {"experts": 4, "top_k": 8},
            "top_k=8 is out of range; expected at most 4, the number of experts: a token goes to an expert at",
        ),
        ({"top_k": 1.5}, "top_k must be a whole number, got 1.5"),
        ({"tokens": 0}, "tokens=0 is too small; expected at least 1"),
        (
            {"tokens": 2**29},
            "tokens=536870912 is out of range; expected at most 536870911 with top_k=8",
        ),
        ({"spread": -0.1}, "spread=-0.1 is out of range; expected 0 to 4"),
        ({"spread": math.nan}, "spread=NaN is out of range; expected 0 to 4"),
        ({"spread": math.inf}, "spread=inf is out of range; expected 0 to 4"),
        ({"spread": 10**400}, "spread=inf is out of range; expected 0 to 4"),
        ({"outliers": -1}, "outliers=-1 is out of range; expected 0 to 128"),
        ({"outliers": 6, "experts": 10}, "outliers=6 is out of range; expected 0 to 5"),
        ({"drift": "run", "windows": 9}, "^unknown drift 'run'; expected one of walk, blocks,"),
        ({"drift": "walk"}, "one window has no drift; give the number of windows"),
        (
            {"drift": "walk", "windows": 9, "domains": 1},
            "domains=1 is out of range; expected 2 to 64 with drift=walk",
        ),
        ({"drift": "redraw", "windows": 9, "domains": 65}, "domains=65 is out of range; expected"),
        ({"windows": 0}, "windows=0 is too small; expected at least 1"),
        (
            {"windows": 3, "domains": 4},
            "domains=4 is out of range; expected at most 3, the number of windows",
        ),
        (
            {"layers": 2**40},
            "layers=1099511627776 is out of range; expected at most 262144 with 1 x 256 loads",
        ),
    ],
)
def test_bad_values_are_clear_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(EplbError, match=message) as error:
        sample(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("zipf", 1, 4), "^unknown family 'zipf'; expected one of lognormal 0.5, "),
        (("zipf 1.2", 65, 4), "layers=65 is out of range; expected 1 to 64"),
        (("zipf 1.2", 1, 2**14 + 1), "experts=16385 is out of range; expected 1 to 16384"),
        (("zipf 1.2", 1, 4, -1), "seed=-1 is out of range; expected 0 to 274877906943"),
    ],
)
def test_bad_values_of_families_are_clear_errors(arguments: Any, message: str) -> None:
    with pytest.raises(EplbError, match=message):
        family(*arguments)


def test_few_experts_are_not_all_chosen() -> None:
    """The model's experts per token would be all 8 of them, and all loads equal."""
    for experts, top_k in ((1, 1), (4, 1), (8, 2), (31, 7), (32, 8), (512, 8)):
        loads = sample(layers=2, experts=experts, tokens=1000)
        assert loads.sum(axis=1).tolist() == [1000 * top_k] * 2
        assert experts == 1 or (loads.std(axis=1) > 0).all()


@pytest.mark.parametrize(
    "name",
    ["seed", "layers", "experts", "top_k", "tokens", "spread", "outliers", "windows", "domains"],
)
@pytest.mark.parametrize("value", ["3", True, [1], 1j])
def test_what_is_not_a_number_is_a_type_error(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be a "):
        sample(**{name: value})


def test_a_model_is_a_name() -> None:
    with pytest.raises(TypeError, match=r"model must be a name, got 3 \(int\)"):
        sample(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"family must be a name, got None \(NoneType\)"):
        family(None, 1, 4)  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers() -> None:
    same = sample("olmoe-1b-7b", seed=3, layers=2, spread=0.5)
    other = sample("olmoe-1b-7b", seed=np.uint64(3), layers=np.int8(2), spread=np.float32(0.5))  # type: ignore[arg-type]
    np.testing.assert_array_equal(same, other)
