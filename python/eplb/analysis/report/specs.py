"""The charts, as specifications of Vega-Lite. The page gives them their data, named ``points``.

Settings are ``s0``, ``s1`` and so on in the data: a name may have characters that Vega reads as a path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb.analysis.report.colours import BLUE, VERMILLION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
#: Height of a layer in the heat map, in pixels.
_LAYER_HEIGHT = 11
_SPARSE = {"labelOverlap": "greedy", "labelSeparation": 6, "labelAngle": 0, "ticks": False}


def _spec(height: int, **parts: Any) -> dict[str, Any]:
    return {
        "$schema": _SCHEMA,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "background": None,
        "config": {
            "view": {"stroke": None},
            "font": "system-ui, sans-serif",
            "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
        },
        **parts,
    }


def lines(
    names: Sequence[str], styles: Sequence[Mapping[str, Any]], *, with_events: bool
) -> dict[str, Any]:
    """Balancedness over time: a line for each setting, and a rule that shows all values of a window."""
    keys = [f"s{number}" for number in range(len(names))]

    def of_setting(what: str) -> dict[str, Any]:
        values = [style[what] for style in styles]
        return {
            "field": "setting",
            "type": "nominal",
            "scale": {"type": "ordinal", "domain": keys, "range": values},
            "legend": None,
        }

    window = {"field": "window", "type": "quantitative", "title": "window"}
    values = [
        {"field": key, "title": name, "type": "quantitative", "format": ".4f"}
        for key, name in zip(keys, names, strict=True)
    ]
    return _spec(
        300,
        description="Mean balancedness of each window, a line for each setting.",
        data={"name": "points"},
        encoding={
            "x": {**window, "scale": {"zero": False, "nice": False}, "axis": {"tickMinStep": 1}}
        },
        layer=[
            {
                "transform": [{"fold": keys, "as": ["setting", "mean"]}],
                "mark": {"type": "line", "invalid": "break-paths-filter-domains"},
                "encoding": {
                    "y": {
                        "field": "mean",
                        "type": "quantitative",
                        "title": "balancedness",
                        "scale": {"zero": False, "domainMax": 1},
                    },
                    "color": of_setting("colour"),
                    "strokeDash": of_setting("dash"),
                    "strokeWidth": {**of_setting("width"), "type": "ordinal"},
                },
            },
            {
                "mark": {"type": "rule", "color": "#888"},
                "encoding": {
                    "opacity": {
                        "condition": {"param": "hover", "empty": False, "value": 0.6},
                        "value": 0,
                    },
                    "tooltip": [window, *values],
                },
                "params": [
                    {
                        "name": "hover",
                        "select": {
                            "type": "point",
                            "fields": ["window"],
                            "nearest": True,
                            "on": "pointerover",
                            "clear": "pointerout",
                        },
                    }
                ],
            },
            *(_event_marks(window) if with_events else []),
        ],
    )


def _event_marks(window: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What happens to GPUs: a rule and its words."""
    what = {"field": "what", "type": "nominal"}
    words = {"type": "text", "align": "left", "dx": 4, "color": "#888", "fontSize": 12}
    return [
        {
            "data": {"name": "events"},
            "mark": {"type": "rule", "strokeDash": [3, 3], "color": "#888"},
            "encoding": {"x": window, "tooltip": what},
        },
        {
            "data": {"name": "events"},
            "mark": words,
            "encoding": {"x": window, "y": {"value": 8}, "text": what},
        },
    ]


def heat(num_layers: int, least: float) -> dict[str, Any]:
    """Balancedness of layers and windows, bright if it is good; ``least`` is the darkest value."""
    return _spec(
        max(120, min(760, num_layers * _LAYER_HEIGHT)) + 60,
        description="Balancedness of each layer in each window: bright is balanced, dark is not.",
        data={"name": "points"},
        mark={"type": "rect", "cursor": "pointer"},
        encoding={
            "x": {
                "field": "window",
                "type": "ordinal",
                "title": "window",
                "axis": _SPARSE,
            },
            "y": {
                "field": "layer",
                "type": "ordinal",
                "title": "layer",
                "axis": _SPARSE,
            },
            "color": {
                "field": "balancedness",
                "type": "quantitative",
                "title": "balancedness",
                "scale": {"scheme": "viridis", "domain": [least, 1], "clamp": True},
                "legend": {"orient": "top", "gradientLength": 180, "format": ".2f"},
            },
            "tooltip": [
                {"field": "layer", "type": "ordinal"},
                {"field": "windows", "type": "nominal", "title": "window"},
                {"field": "balancedness", "type": "quantitative", "format": ".3f"},
            ],
        },
    )


def gpus() -> dict[str, Any]:
    """GPU loads of a layer in a window: bars after the update, ticks before it."""
    gpu = {
        "field": "gpu",
        "type": "ordinal",
        "title": "GPU",
        "axis": _SPARSE,
    }
    tooltip = [
        {"field": "gpu", "type": "ordinal", "title": "GPU"},
        {"field": "before", "type": "quantitative", "format": ".3f", "title": "before the update"},
        {"field": "after", "type": "quantitative", "format": ".3f", "title": "after it"},
    ]

    def load(which: str) -> dict[str, Any]:
        return {"field": which, "type": "quantitative", "title": "GPU load / mean"}

    return _spec(
        280,
        description="Load of each GPU by the mean one, before and after the update.",
        data={"name": "points"},
        encoding={"x": gpu, "tooltip": tooltip},
        layer=[
            {"mark": {"type": "bar", "color": BLUE}, "encoding": {"y": load("after")}},
            {
                "mark": {"type": "tick", "color": VERMILLION, "thickness": 3, "bandSize": 14},
                "encoding": {"y": load("before")},
            },
            {
                "data": {"values": [{"mean": 1}]},
                "mark": {"type": "rule", "strokeDash": [4, 3], "color": "#888"},
                "encoding": {
                    "x": None,
                    "tooltip": None,
                    "y": {"field": "mean", "type": "quantitative"},
                },
            },
        ],
    )
