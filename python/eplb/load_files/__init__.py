"""Loads from files and directories, from any writer.

Tables are .npy, .npz, .csv, .json, .pt or standard input, told by their first bytes, then by their
ending; dumps of engines are recognised. A row ``[experts]`` is one layer. Integers stay exact.
"""

from eplb.load_files.file_loads import FileLoads
from eplb.load_files.reading import WRITERS, read_loads, read_trace, read_windows

__all__ = ["WRITERS", "FileLoads", "read_loads", "read_trace", "read_windows"]
