"""Data frames: rows and columns by the numbers in their names, and what is no layer or expert."""

from __future__ import annotations

from typing import Any

import eplb
import numpy as np
import pandas as pd
import pytest
from eplb import LoadError

TABLE = np.random.default_rng(8).integers(0, 1000, (11, 12))
DIGEST = eplb.plan(TABLE, num_gpus=2).digest()
NUMBERS = pd.DataFrame(TABLE)
NAMED = NUMBERS.rename(index="layers.{}.mlp".format, columns="expert_{}".format)
ROWS_ONLY = NUMBERS.rename(index="layer{}".format)
PAIRS = NUMBERS.set_axis(
    pd.MultiIndex.from_product([["count"], [f"e{i}" for i in range(12)]]), axis="columns"
)


def digest(frame: Any) -> str:
    return eplb.plan(frame, num_gpus=2).digest()


@pytest.mark.parametrize("frame", [NUMBERS, NAMED, ROWS_ONLY, PAIRS])
def test_rows_and_columns_go_by_their_numbers(frame: pd.DataFrame) -> None:
    """Sorted as text, the other way round, as nullable numbers, from layer 3 on: one table."""
    as_text = frame.sort_index(axis=0, key=lambda names: names.map(str))
    as_text = as_text[sorted(frame.columns, key=str)]
    for same in (frame, as_text, frame.iloc[::-1, ::-1], as_text.astype("Int64")):
        assert digest(same) == DIGEST
    sparse = NUMBERS.set_axis([3 * row for row in range(11)]).iloc[::-1]
    assert digest(sparse) == DIGEST
    assert eplb.plan([as_text, as_text], num_gpus=2) == eplb.plan([TABLE, TABLE], num_gpus=2)


def test_other_names_leave_the_order_alone() -> None:
    for names in ([f"{row}.{9 - row}" for row in range(11)], [*"kjihgfedcba"], [0.5] * 11):
        assert digest(NUMBERS.set_axis(names)) == DIGEST
    assert digest(NUMBERS.set_axis([*"lkjihgfedcba"], axis="columns")) == DIGEST


@pytest.mark.parametrize("name", ["total", "All", "of all layers"])
@pytest.mark.parametrize("frame", [NUMBERS, NAMED])
def test_figures_are_no_layers_or_experts(frame: pd.DataFrame, name: str) -> None:
    more = frame.copy()
    more.loc[name] = frame.sum()
    with pytest.raises(LoadError, match=rf"row '{name}' is no layer; .*drop\(index='{name}'\)"):
        digest(more)
    assert digest(more.drop(index=name)) == DIGEST
    more = frame.assign(**{name: frame.sum(axis=1)})
    with pytest.raises(LoadError, match=rf"column '{name}' is no .*drop\(columns='{name}'\)"):
        digest(more)
    assert digest(more.drop(columns=name)) == DIGEST


def test_what_describe_says_is_no_load() -> None:
    with pytest.raises(LoadError, match="its row 'mean' is no layer"):
        digest(NUMBERS.describe())


def test_numbers_that_are_no_order_are_refused() -> None:
    twice = pd.concat([NUMBERS, NUMBERS])
    with pytest.raises(LoadError, match=r"its index has layer 0 twice, as 0 and 0; load\.to_numpy"):
        digest(twice)
    assert digest(twice.to_numpy()) == eplb.plan(np.vstack([TABLE, TABLE]), num_gpus=2).digest()
    with pytest.raises(LoadError, match="'expert_1' and 'expert_01'"):
        digest(NAMED.rename(columns={"expert_4": "expert_01"}))
    with pytest.raises(
        LoadError, match="it has no column for expert 4, but one for 5; give it one"
    ):
        digest(NAMED.drop(columns="expert_4"))


def test_cells_that_a_pivot_lacks() -> None:
    lacks = NUMBERS.astype(float)
    lacks.loc[7, 5] = np.nan
    with pytest.raises(LoadError, match=r"layer 7, expert 5: .* NaN; .*; load\.fillna\(0\)"):
        digest(lacks.iloc[::-1])
    assert digest(lacks.fillna(TABLE[7, 5])) == DIGEST
