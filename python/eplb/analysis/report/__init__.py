"""The report of a replay: one HTML page that needs no network.

``facts`` is what a page is made of, as plain values; ``words`` says it in sentences, ``data`` is what the
charts draw, ``specs`` how they draw it (Vega-Lite), ``page`` puts all together. Nothing here knows a planner.
"""
