"""Replay: what settings and planners would have reached on a trace of loads.

A *trace* is a list of windows, oldest first. A *setting* is a way to plan. A *cell* is one setting on one
trace; it gives a row for each window that is judged. A run is a list of cells, and cells know nothing of
each other.
"""
