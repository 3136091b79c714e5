"""Limits of what is read from files, which may be untrusted."""

#: Files, and the arrays in them, hold at most this many bytes.
MAX_FILE_BYTES = 2**30
#: Text files hold at most this many bytes: as Python objects they take many times as much.
MAX_TEXT_BYTES = 2**27
#: Of a trace, larger files are read window by window.
MAX_TRACE_BYTES = 2**26
#: Of a trace of many files, at most so many bytes of windows are kept, if one file has not more.
MAX_KEPT_BYTES = 2**28
#: A file holds at most this many loads.
MAX_LOADS = MAX_FILE_BYTES // 8
#: A file holds at most this many windows.
MAX_WINDOWS = 2**20
#: Nested lists hold at most this many loads: as Python numbers they take many times as much.
MAX_LIST_LOADS = 2**24
#: A JSON text has at most this many lists and objects, and this many values.
MAX_JSON_LISTS = 2**20
MAX_JSON_VALUES = 2**24
#: A YAML text, which is slow to read, has at most this many bytes.
MAX_YAML_BYTES = 2**22
#: A model's config.json has at most this many bytes.
MAX_CONFIG_BYTES = 2**22
#: A table in a text file has at most this many rows and columns.
MAX_ROWS = 2**20
MAX_COLUMNS = 2**16
#: A placement has at most this many slots, over all layers.
MAX_PLACEMENT_SLOTS = 2**26
#: A model has at most this many hidden layers.
MAX_HIDDEN_LAYERS = 2**14
#: A layer has at most this many experts, as for :func:`eplb.plan`.
MAX_EXPERTS = 2**14
