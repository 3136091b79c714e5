"""Loads from files and directories, from any writer.

Tables are .npy, .npz, .csv, .json, .pt or standard input, told by their first bytes, then by their
ending; dumps of engines are recognised. A row ``[experts]`` is one layer. Integers stay exact. Windows ``[windows, layers, experts]`` are
summed: integers exactly, floats to the nearest float64.
"""

from eplb.load_files.reading import WRITERS, FileLoads, read_loads

__all__ = ["WRITERS", "FileLoads", "read_loads"]
