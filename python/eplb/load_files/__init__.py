"""Loads from files and directories, whoever wrote them.

Tables as .npy, .npz, .csv, .json, .pt and on standard input, told by their first bytes, then by their
ending; and what engines dump. Integers stay exact. Windows ``[windows, layers, experts]`` are summed:
integers exactly, floats to the nearest float64.
"""

from .reading import WRITERS, FileLoads, read_loads

__all__ = ["WRITERS", "FileLoads", "read_loads"]
