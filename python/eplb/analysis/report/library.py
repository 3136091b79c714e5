"""The plotting library of the page: Vega-Lite, as one script that needs no network."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from eplb.errors import EplbError


def check_installed() -> None:
    """Refuses to make a page if the library is not there.

    Raises:
        EplbError: it names the extra.
    """
    if find_spec("vl_convert") is None:
        raise EplbError(
            "a report needs vl-convert-python, which has Vega-Lite in it",
            hint=["pip install vl-convert-python (or the extra: eplb[report])"],
        )


# What the page uses of it.
_NEEDED = "window.vegaEmbed = vegaEmbed;"


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as a JavaScript module, 0.9 MB; takes seconds.

    Raises:
        EplbError: they are not installed.
    """
    check_installed()
    import vl_convert

    # In a page, these would end the script, or change how it is read.
    return (
        vl_convert.javascript_bundle(_NEEDED)
        .replace("</script", "<\\/script")
        .replace("<!--", "<\\!--")
    )
