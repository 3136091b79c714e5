"""What holds whatever the traffic is: updates after updates, of any size and limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from eplb import _core
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from over_time.judge import arrivals
from over_time.on_gpus import on_gpus

if TYPE_CHECKING:
    import numpy.typing as npt

    Slots = npt.NDArray[np.int64]

LAYERS = 2


def observe(history: _core.LoadHistory, windows: Any, scale: int = 1) -> None:
    for window in np.array(windows, dtype=np.int64) * scale:
        history.observe(_core.Loads(np.ascontiguousarray(window)), 1)


def is_valid(slots: Slots, experts: int, gpus: int) -> bool:
    """Every expert has a slot, and no GPU holds one twice."""
    for row in slots:
        if set(range(experts)) - set(row.tolist()):
            return False
        for held in row.reshape(gpus, -1):
            real = held[held >= 0].tolist()
            if len(set(real)) < len(real):
                return False
    return True


class Serving(RuleBasedStateMachine):
    """A cluster that serves: windows come, and plans follow each other."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.experts = data.draw(st.integers(2, 12))
        self.gpus = data.draw(st.integers(1, 5))
        fewest = -(-self.experts // self.gpus)
        self.per_gpu = data.draw(st.integers(fewest, self.experts))
        self.history = _core.LoadHistory(LAYERS, self.experts, data.draw(st.integers(3, 6)), 64225)
        self.slots: Slots | None = None

    def topology(self) -> _core.Topology:
        return _core.Topology(self.experts, self.gpus * self.per_gpu, 1, 1, self.gpus)

    def replan(self, **options: Any) -> _core.Migration:
        return _core.replan(
            self.history, self.topology(), on_gpus(self.slots, self.gpus), **options
        )

    @rule(data=st.data())
    def window(self, data: st.DataObject) -> None:
        load = st.integers(0, data.draw(st.sampled_from([0, 1, 1000, 10**6])))
        window = data.draw(st.lists(load, min_size=self.experts, max_size=self.experts))
        observe(self.history, [[window, window[::-1]]])

    @rule(copies=st.integers(0, 8), total=st.none() | st.integers(0, 8))
    def update(self, copies: int, total: int | None) -> None:
        """The limits hold, what is said of the update is true, and what stays stays in its slot."""
        made = self.replan(max_moves=copies, max_moves_after_shift=copies, max_copies=total)
        new = made.phy2log()
        if self.slots is None:
            assert made.copies == [new.shape[1]] * LAYERS
        else:
            lost = [self.experts - len(set(row.tolist()) - {-1}) for row in self.slots]
            for layer, (old, now) in enumerate(zip(self.slots, new, strict=True)):
                arrived = arrivals(old[None], now[None], self.gpus)
                assert arrived == made.copies[layer] <= copies + lost[layer]
                assert made.kept[layer] == (arrived == 0)
                assert not made.kept[layer] or (old == now).all()
                before, after = made.objective[layer]
                assert after <= before
                stays = [
                    (held == old_held)[np.isin(held, old_held) & (held >= 0)].all()
                    for held, old_held in zip(
                        now.reshape(self.gpus, -1), old.reshape(self.gpus, -1), strict=True
                    )
                ]
                assert all(stays)
            if total is not None:
                assert sum(made.copies) <= total + sum(lost)
        self.slots = new

    @precondition(lambda self: self.slots is not None)
    @rule(gpu=st.integers(0, 4))
    def lose_a_gpu_and_replace_it(self, gpu: int) -> None:
        assert self.slots is not None
        self.slots = self.slots.copy()
        self.slots.reshape(LAYERS, self.gpus, -1)[:, gpu % self.gpus] = -1
        made = self.replan(max_moves=0, max_moves_after_shift=0, max_copies=0)
        for row, copies in zip(self.slots, made.copies, strict=True):
            assert copies == self.experts - len(set(row.tolist()) - {-1})
        self.slots = made.phy2log()

    @precondition(lambda self: self.slots is not None)
    @rule(gpus=st.integers(1, 5), more=st.integers(0, 2))
    def resize(self, gpus: int, more: int) -> None:
        """Other GPUs, or another number of slots: every expert has a slot at once."""
        previous = on_gpus(self.slots, self.gpus)
        fewest = -(-self.experts // gpus)
        self.gpus, self.per_gpu = gpus, min(self.experts, fewest + more)
        made = _core.replan(self.history, self.topology(), previous)
        self.slots = made.phy2log()

    @precondition(lambda self: self.slots is not None)
    @rule()
    def nothing_may_move(self) -> None:
        made = self.replan(max_moves=0, max_moves_after_shift=0)
        assert made.kept == [True] * LAYERS
        assert (made.phy2log() == self.slots).all()

    @rule()
    def through_a_file(self) -> None:
        copy = _core.LoadHistory.from_state(self.history.state())
        assert copy.digest() == self.history.digest()
        made = _core.replan(copy, self.topology(), on_gpus(self.slots, self.gpus))
        assert (made.phy2log() == self.replan(threads=3).phy2log()).all()

    @invariant()
    def every_plan_is_valid(self) -> None:
        if getattr(self, "slots", None) is not None:
            assert self.slots is not None
            assert is_valid(self.slots, self.experts, self.gpus)


Serving.TestCase.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
TestServing = Serving.TestCase


def mix(seed: int, experts: int, windows: int) -> npt.NDArray[np.int64]:
    """Windows that drift, ``[windows, layers, experts]``."""
    random = np.random.default_rng(seed)
    domains = random.lognormal(5, 1.2, (3, LAYERS, experts))
    weights = np.abs(np.cumsum(random.normal(0, 0.3, (windows, 3)), axis=0)) + 0.1
    loads: npt.NDArray[np.int64] = np.einsum("wd,dle->wle", weights, domains).astype(np.int64)
    return loads


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_equal_windows_move_nothing_after_the_first_plan(seed: int, times: int) -> None:
    [window] = mix(seed, 24, 1)
    history = _core.LoadHistory(LAYERS, 24, 16, 64225)
    topology = _core.Topology(24, 30, 1, 1, 6)
    observe(history, [window])
    slots = _core.replan(history, topology).phy2log()
    for _ in range(times):
        observe(history, [window])
        made = _core.replan(history, topology, on_gpus(slots, 6))
        assert made.kept == [True] * LAYERS


@given(st.integers(0, 2**32), st.integers(1, 10**6))
def test_scaled_windows_change_nothing(seed: int, scale: int) -> None:
    windows = mix(seed, 16, 6)
    digests = set()
    for factor in (1, scale):
        history = _core.LoadHistory(LAYERS, 16, 4, 64225)
        observe(history, windows, factor)
        rows, _, _, layers, _, _ = history.state()
        assert rows == 4
        made = _core.replan(history, _core.Topology(16, 20, 1, 1, 4))
        digests.add((str(layers), made.phy2log().tobytes()))
    assert len(digests) == 1


@given(st.integers(0, 2**32))
def test_renamed_experts_are_remembered_and_balanced_as_well(seed: int) -> None:
    """Histories do not depend on the names of experts; plans do where estimates are equal."""
    windows = mix(seed, 16, 9)
    order = np.random.default_rng(seed).permutation(16)
    results = []
    for loads, names in ((windows, order), (windows[:, :, order], np.arange(16))):
        history = _core.LoadHistory(LAYERS, 16, 4, 64225)
        observe(history, loads)
        layers = [(np.array(rows)[:, names].tolist(), rest) for rows, *rest in history.state()[3]]
        made = _core.replan(history, _core.Topology(16, 20, 1, 1, 4))
        results.append((layers, np.array(made.objective, dtype=float)[:, 1] ** 0.125))
    assert results[0][0] == results[1][0]
    assert np.allclose(results[0][1], results[1][1], rtol=0.03)


def test_a_shift_opens_the_cap_but_not_the_total() -> None:
    """A burst of a new domain and a hard limit together: the limit holds."""
    usual = mix(1, 32, 12)
    burst = usual[-1][:, ::-1]
    topology = _core.Topology(32, 40, 1, 1, 8)
    history = _core.LoadHistory(LAYERS, 32, 16, 64225)
    observe(history, usual)
    slots = _core.replan(history, topology).phy2log()
    observe(history, [burst])
    assert history.shifted == [True] * LAYERS
    usually = _core.replan(history, topology, on_gpus(slots, 8), max_moves_after_shift=(200_000,))
    burst_plan = _core.replan(history, topology, on_gpus(slots, 8))
    limited = _core.replan(history, topology, on_gpus(slots, 8), max_copies=5)
    assert max(usually.copies) <= 8 < max(burst_plan.copies) <= 24
    assert 3 <= sum(limited.copies) <= 5


def test_duplicates_are_worth_nothing_and_stay_only_where_nothing_better_comes() -> None:
    windows = mix(3, 8, 4)
    history = _core.LoadHistory(LAYERS, 8, 16, 64225)
    observe(history, windows)
    topology = _core.Topology(8, 12, 1, 1, 4)
    previous = np.array([[0, 1, 0, 2, 3, 2, 4, 5, 4, 6, 7, 6]] * LAYERS)
    kept = _core.replan(history, topology, on_gpus(previous, 4), max_moves=0)
    assert (kept.phy2log() == previous).all()
    made = _core.replan(history, topology, on_gpus(previous, 4), 0, 12)
    assert is_valid(made.phy2log(), 8, 4)
    assert max(made.copies) <= 12


def test_groups_stay_on_their_nodes() -> None:
    windows = mix(4, 16, 8)
    history = _core.LoadHistory(LAYERS, 16, 16, 64225)
    topology = _core.Topology(16, 24, 4, 2, 4)
    nodes = []
    slots = None
    for window in windows:
        observe(history, [window])
        slots = _core.replan(history, topology, on_gpus(slots, 4), 0).phy2log()
        groups = slots.reshape(LAYERS, 2, 12) // 4
        nodes.append([[sorted(set(node.tolist())) for node in layer] for layer in groups])
        assert is_valid(slots, 16, 4)
    assert all(groups == nodes[0] for groups in nodes)
    assert all(len(node) == 2 for layer in nodes[0] for node in layer)


def test_more_than_64_gpus_and_more_than_16_slots() -> None:
    """Sets of GPUs of several words, and slots of several chunks."""
    for experts, gpus, per_gpu in ((100, 70, 2), (90, 3, 40), (140, 130, 3)):
        history = _core.LoadHistory(LAYERS, experts, 16, 64225)
        topology = _core.Topology(experts, gpus * per_gpu, 1, 1, gpus)
        slots = None
        for window in mix(5, experts, 4):
            observe(history, [window])
            made = _core.replan(history, topology, on_gpus(slots, gpus))
            slots = made.phy2log()
            assert is_valid(slots, experts, gpus)


def test_a_layer_without_load_teaches_nothing() -> None:
    history = _core.LoadHistory(LAYERS, 8, 16, 64225)
    topology = _core.Topology(8, 12, 1, 1, 4)
    window = np.zeros((LAYERS, 8), dtype=np.int64)
    window[1] = range(8)
    observe(history, [window])
    assert history.rows == [0, 1]
    slots = _core.replan(history, topology).phy2log()
    assert is_valid(slots, 8, 4)
    digest = history.digest()
    observe(history, [np.zeros((LAYERS, 8), dtype=np.int64)])
    assert history.digest() == digest
    assert history.newest().values()[1].any()
    assert _core.replan(history, topology, on_gpus(slots, 4)).kept == [True, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threads": 0}, "threads=0 is too small; expected at least 1"),
        (
            {"previous": on_gpus(np.zeros((1, 12), np.int64), 4)},
            "1 layers; expected 2, as the history has",
        ),
        (
            {"previous": on_gpus(np.full((2, 12), 8), 4)},
            "slot 0: unknown expert 8; expected 0 to 7, or -1",
        ),
        ({"topology": _core.Topology(9, 12, 1, 1, 4)}, "the history has 8 experts; expected 9"),
        (
            {"topology": _core.Topology(8, 18, 1, 1, 2)},
            "num_replicas=18 means 9 slots per GPU, but there are 8 experts; expected",
        ),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    history = _core.LoadHistory(LAYERS, 8, 16, 64225)
    good: dict[str, Any] = {
        "history": history,
        "topology": _core.Topology(8, 12, 1, 1, 4),
        "previous": None,
    }
    with pytest.raises(Exception, match=message):
        _core.replan(**(good | change))


@pytest.mark.parametrize(("rows", "decay"), [(2, 64225), (33, 64225), (16, 0), (16, 65537)])
def test_options_of_a_history_are_checked(rows: int, decay: int) -> None:
    with pytest.raises(Exception, match="is out of range; expected"):
        _core.LoadHistory(1, 1, rows, decay)
