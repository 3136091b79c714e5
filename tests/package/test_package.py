"""The package as a whole: what importing it costs, threads beside it, its types and examples."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import json
import os
import pkgutil
import subprocess
import sys
import threading
import time
import tomllib
import types
from pathlib import Path

import eplb
import numpy as np
import pytest
from paths import ROOT

IMPORT = """
import json, sys, time
start = time.process_time()
import numpy
of_numpy = time.process_time() - start
before = set(sys.modules)
start = time.process_time()
import eplb
of_eplb = time.process_time() - start
foreign = sorted(
    name for name in set(sys.modules) - before
    if name.partition(".")[0] not in {"eplb", "numpy", *sys.stdlib_module_names}
)
print(json.dumps([of_eplb / of_numpy, foreign]))
"""
#: Importing eplb takes less than this share of the processor time that importing numpy takes.
MOST_SHARE = 0.3


def imported(folder: Path | None = None) -> tuple[float, list[str]]:
    """What importing eplb, or what is in its place in a folder, costs in numpys; and foreign modules.

    Processor time of one process, beside numpy's in the same one: other work on the machine slows both.
    """
    run = subprocess.run(
        [sys.executable, "-c", IMPORT],
        env=os.environ | ({} if folder is None else {"PYTHONPATH": str(folder)}),
        capture_output=True,
        text=True,
        check=True,
    )
    share, foreign = json.loads(run.stdout)
    return share, foreign


def test_import_loads_numpy_alone_and_is_quick() -> None:
    runs = [imported() for _ in range(7)]
    assert [foreign for _, foreign in runs if foreign] == []
    assert min(share for share, _ in runs) < MOST_SHARE


def test_control_a_slow_import_is_seen(tmp_path: Path) -> None:
    """One that takes as long as numpy's does: 80 ms or so."""
    (tmp_path / "eplb.py").write_text(
        "import time, __main__\n"
        "end = time.process_time() + __main__.of_numpy\n"
        "while time.process_time() < end:\n"
        "    pass\n"
    )
    assert min(imported(tmp_path)[0] for _ in range(3)) >= MOST_SHARE


def test_control_what_else_is_loaded_is_named(tmp_path: Path) -> None:
    (tmp_path / "eplb.py").write_text("import pluggy\n")
    assert "pluggy" in imported(tmp_path)[1]


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float32", "float64", "float16"])
def test_planning_imports_nothing(dtype: str) -> None:
    """What is timed is planning: of the first plan too."""
    code = (
        "import sys, numpy, eplb\n"
        f"load = numpy.ones((2, 8), dtype={dtype!r})\n"
        "before = set(sys.modules)\n"
        "eplb.plan(load, num_gpus=2, num_replicas=10)\n"
        "print(sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_the_gil_is_released_while_planning() -> None:
    """A thread that only counts goes on counting while another plans."""
    load = np.random.default_rng(0).lognormal(0, 1, (4000, 256))
    counted = 0
    done = threading.Event()

    def plan() -> None:
        eplb.plan(load, num_gpus=32, num_replicas=288)
        done.set()

    # With the GIL held, control would come back once per switch interval, of five seconds here.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5)
    try:
        thread = threading.Thread(target=plan)
        thread.start()
        start = time.perf_counter()
        while not done.is_set():
            counted += 1
            time.sleep(0)
        thread.join()
        assert counted > 100
        assert time.perf_counter() - start < 60
    finally:
        sys.setswitchinterval(interval)


def test_examples_in_docstrings() -> None:
    """Every example of every module, none left out."""
    names = [name for _, name, _ in pkgutil.walk_packages(eplb.__path__, "eplb.")]
    attempted = written = 0
    for name in ["eplb", *names]:
        module = importlib.import_module(name)
        results = doctest.testmod(module)
        assert results.failed == 0
        attempted += results.attempted
        if module.__file__ and module.__file__.endswith(".py"):
            written += Path(module.__file__).read_text().count(">>> ")
    assert attempted == written >= 3


def test_control_a_false_example_fails() -> None:
    module = types.ModuleType("planted", doc=">>> 1 + 1\n3\n")
    with contextlib.redirect_stdout(io.StringIO()):
        assert doctest.testmod(module) == (1, 1)


def test_pages_with_examples_are_run() -> None:
    """By `test_readme.py`, which names each of them."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    written = [page.name for page in pages if ">>> " in page.read_text()]
    run = Path(__file__).with_name("test_readme.py").read_text()
    assert "README.md" in written
    assert [page for page in written if page not in run] == []


def test_every_public_name_is_documented() -> None:
    for name in eplb.__all__:
        public = getattr(eplb, name)
        if callable(public):
            assert public.__doc__, name
            for attribute, value in vars(public).items() if isinstance(public, type) else ():
                if not attribute.startswith("_"):
                    assert value.__doc__, f"{name}.{attribute}"


def test_the_version_is_written_once() -> None:
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert eplb.__version__ == cargo["workspace"]["package"]["version"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]
    assert "version" not in project
