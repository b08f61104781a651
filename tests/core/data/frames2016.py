"""Pickles as pandas 0.18 under Python 2 wrote them, made by hand: the format of the published gas file."""

from __future__ import annotations

import copyreg
import pickle
import sys
import types

import numpy as np


class Stand:
    """An object of a class that lives in a pandas module of old."""

    def __init__(self, state):
        self.state = state

    def __reduce__(self):
        return copyreg.__newobj__, (type(self),), self.state


def old_index(cls, content):
    raise AssertionError("only pickled by name")


def write_old_pickle(path, columns: list[str], values: np.ndarray) -> None:
    """DataFrame -> {"_data": BlockManager}, whose state is (axes, values, items, {"0.14.1": ...})."""
    places = {"pandas.core.frame": {}, "pandas.core.internals": {}, "pandas.indexes.base": {}}
    made = {}
    for name, module in (("DataFrame", "pandas.core.frame"), ("BlockManager", "pandas.core.internals")):
        made[name] = places[module][name] = type(name, (Stand,), {"__module__": module})
    home = "pandas.indexes.base"
    for name in ("Index", "Int64Index"):
        made[name] = places[home][name] = type(name, (), {"__module__": home})
    new_index = types.FunctionType(old_index.__code__, globals(), "_new_Index")
    new_index.__module__, new_index.__qualname__ = home, "_new_Index"
    places[home]["_new_Index"] = new_index

    class Axis:
        def __init__(self, cls, data):
            self.cls, self.data = cls, data

        def __reduce__(self):
            return new_index, (self.cls, {"data": self.data, "name": None})

    axes = [Axis(made["Index"], np.array(columns, object)), Axis(made["Int64Index"], np.arange(len(values)))]
    half = len(columns) // 2
    parts = [np.arange(half, len(columns)), slice(0, half, 1)]
    blocks = [{"values": np.ascontiguousarray(values[:, part].T), "mgr_locs": part} for part in parts]
    extra = {"0.14.1": {"axes": axes, "blocks": blocks}}
    items = [Axis(made["Index"], axes[0].data[part]) for part in parts]
    manager = made["BlockManager"]((axes, [block["values"] for block in blocks], items, extra))
    frame = made["DataFrame"]({"_data": manager, "_typ": "dataframe", "_metadata": []})
    modules = {}
    for module, content in places.items():
        modules[module] = types.ModuleType(module)
        vars(modules[module]).update(content)
    saved = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        path.write_bytes(pickle.dumps(frame, protocol=2))
    finally:
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
