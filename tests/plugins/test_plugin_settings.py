"""Environment variables of the plug-ins, and what happens at start."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import eplb
import fake_engines
import pytest
from eplb import plugins
from eplb.plugins.settings import VARIABLES, Settings, is_on, settings_of, unknown_variables
from paths import ROOT

ON = {"EPLB_PLUGIN": "1"}


@pytest.mark.parametrize("value", ["", " ", "0", "off", "no", "False"])
def test_off_unless_asked_for(value: str, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    assert not is_on({"EPLB_PLUGIN": value})
    monkeypatch.setenv("EPLB_PLUGIN", value)
    with fake_engines.engines(), caplog.at_level(logging.INFO):
        plugins.vllm()
        plugins.sglang()
        from vllm.distributed.eplb import policy

        assert {"default": fake_engines.OwnPolicy} == policy.EPLB_POLICIES
        assert fake_engines.HookRegistry._hooks == {}
    assert caplog.text == ""


def test_defaults_are_those_of_a_balancer() -> None:
    settings = settings_of(ON)
    assert settings == Settings()
    load = [[5, 3, 8, 1], [2, 2, 9, 4]]
    made = settings.balancer()
    expected = eplb.Balancer()
    for balancer in (made, expected):
        plan = balancer.step(load, None, num_gpus=2, num_replicas=6).plan
        balancer.step(load, plan)
    assert made.plan == expected.plan
    assert made.digest() == expected.digest()


def test_every_variable_is_read() -> None:
    values = {
        "EPLB_POLICY": "minimax",
        "EPLB_HISTORY": "8",
        "EPLB_DECAY": "0.9",
        "EPLB_MOVE_PRICE": "0.02",
        "EPLB_MAX_MOVES": "12",
        "EPLB_MAX_MOVES_AFTER_SHIFT": "0.5",
        "EPLB_MAX_COPIES": "100",
        "EPLB_THREADS": "2",
        "EPLB_RECORD": "records",
        "EPLB_RECORD_MB": "10",
        "EPLB_METRICS": "eplb.prom",
        "EPLB_OFF_FILE": "off",
        "EPLB_TIMEOUT": "5",
    }
    assert values.keys() == {variable.name for variable in VARIABLES}
    assert settings_of(ON | values) == Settings(
        policy="minimax",
        history=8,
        decay=0.9,
        move_price=0.02,
        max_moves=12,
        max_moves_after_shift=0.5,
        max_copies=100,
        threads=2,
        record=Path("records"),
        record_mb=10,
        metrics=Path("eplb.prom"),
        off_file=Path("off"),
        timeout=5,
    )
    assert isinstance(settings_of(ON | {"EPLB_MAX_MOVES": "12"}).max_moves, int)
    assert settings_of({"EPLB_PLUGIN": "adaptive"}).policy == "adaptive"
    assert settings_of(ON | {"EPLB_HISTORY": " "}) == Settings()


def test_what_ranks_compare() -> None:
    """All that plans depend on, and no more."""
    assert settings_of(ON | {"EPLB_THREADS": "2", "EPLB_TIMEOUT": "5"}).options() == {
        "policy": "multiwindow",
        "history": 16,
        "decay": 0.98,
        "move_price": 0.01,
        "max_moves": 0.2,
        "max_moves_after_shift": None,
        "max_copies": None,
    }


WRONG = {
    "EPLB_POLICY": ("minmax", "did you mean 'minimax'"),
    "EPLB_PLUGIN": ("multiwindows", "did you mean 'multiwindow'"),
    "EPLB_HISTORY": ("2", "EPLB_HISTORY=2"),
    "EPLB_DECAY": ("1.5", "EPLB_DECAY=1.5"),
    "EPLB_MOVE_PRICE": ("-1", "EPLB_MOVE_PRICE=-1"),
    "EPLB_MAX_MOVES": ("a fifth", "EPLB_MAX_MOVES: 'a fifth' is not a number"),
    "EPLB_MAX_MOVES_AFTER_SHIFT": ("nan", "EPLB_MAX_MOVES_AFTER_SHIFT"),
    "EPLB_MAX_COPIES": ("1.5", "EPLB_MAX_COPIES: '1.5' is not a whole number"),
    "EPLB_THREADS": ("0", "EPLB_THREADS=0"),
    "EPLB_RECORD_MB": ("0", "EPLB_RECORD_MB: '0' is out of range"),
    "EPLB_TIMEOUT": ("inf", "EPLB_TIMEOUT: 'inf' is out of range"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_told_once_and_the_own_planner_stays(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    value, message = WRONG[name]
    monkeypatch.setenv("EPLB_PLUGIN", "1")
    monkeypatch.setenv(name, value)
    with fake_engines.engines(), caplog.at_level(logging.INFO):
        plugins.vllm()
        from vllm.distributed.eplb import policy

        assert {"default": fake_engines.OwnPolicy} == policy.EPLB_POLICIES
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert message in record.getMessage()
    assert "vllm's own planner stays" in record.getMessage()


def test_policies_that_differ_are_told() -> None:
    with pytest.raises(
        eplb.EplbError, match="EPLB_POLICY is 'minimax', but EPLB_PLUGIN is 'adaptive'"
    ):
        settings_of({"EPLB_PLUGIN": "adaptive", "EPLB_POLICY": "minimax"})


def test_a_mistyped_variable_is_told() -> None:
    assert unknown_variables({"EPLB_MOVEPRICE": "1", "PATH": "", **ON}) == [
        "the variable EPLB_MOVEPRICE means nothing to eplb; did you mean EPLB_MOVE_PRICE?"
    ]


def test_other_interfaces_are_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EPLB_PLUGIN", "1")

    class Newer:
        @classmethod
        def rebalance_experts(cls, windows: Any, num_replicas: int) -> None:
            """Asks in another way."""

    with fake_engines.engines():
        from sglang.srt.eplb import eplb_algorithms
        from vllm.distributed.eplb import policy

        policy.EPLB_POLICIES["default"] = Newer
        monkeypatch.setattr(eplb_algorithms, "rebalance_experts", lambda tokens: tokens)
        plugins.vllm()
        plugins.sglang()
        assert policy.EPLB_POLICIES["default"] is Newer
        assert fake_engines.HookRegistry._hooks == {}
        monkeypatch.setattr(policy, "EPLB_POLICIES", {"other": Newer})
        plugins.vllm()
    texts = [record.getMessage() for record in caplog.records]
    assert "rebalance_experts has the parameters windows, num_replicas; expected weight" in texts[0]
    assert "has the parameters tokens; expected tokens_per_expert" in texts[1]
    assert "it has no policy 'default'" in texts[2]


def test_without_the_engine_nothing_is_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EPLB_PLUGIN", "1")
    plugins.vllm()
    plugins.sglang()
    assert caplog.text.count("the engine's own planner stays") == 2


def test_entry_points() -> None:
    for group, name in (("vllm.general_plugins", "vllm"), ("sglang.srt.plugins", "sglang")):
        (found,) = entry_points(group=group, name="eplb")
        assert found.load() is getattr(plugins, name)


def test_switched_off_it_loads_what_eplb_loads() -> None:
    code = "import sys; {}; print(len([n for n in sys.modules if n.startswith('eplb')]), 'torch' in sys.modules)"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code.format(do)], capture_output=True, text=True, check=True
        )
        for do in ("import eplb", "from eplb.plugins import vllm; vllm()")
    ]
    without, loaded = (run.stdout.split() for run in runs)
    assert int(loaded[0]) == int(without[0]) + 1
    assert loaded[1] == "False"


def test_the_documented_variables() -> None:
    """The page has each variable with its default."""
    page = (ROOT / "docs" / "plug-ins.md").read_text()
    rows = dict(re.findall(r"^\| `(EPLB_\w+)` \| (.*?) \|", page, re.MULTILINE))
    rows.pop("EPLB_PLUGIN")
    assert rows.keys() == {variable.name for variable in VARIABLES}
    for variable in VARIABLES:
        default = getattr(Settings(), variable.field)
        if variable.field != "off_file" and default is not None:
            assert (
                rows[variable.name] == f"`{default:g}`"
                if isinstance(default, float)
                else f"`{default}`"
            )
