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

ROOT = Path(__file__).parent.parent

IMPORT = """
import json, sys, time
import numpy
before = set(sys.modules)
start = time.perf_counter()
import eplb
milliseconds = (time.perf_counter() - start) * 1000
foreign = sorted(
    name for name in set(sys.modules) - before
    if name.partition(".")[0] not in {"eplb", "numpy", *sys.stdlib_module_names}
)
print(json.dumps([milliseconds, foreign]))
"""


def test_import_loads_numpy_alone_and_is_quick() -> None:
    times = []
    for _ in range(7):
        run = subprocess.run(
            [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True
        )
        milliseconds, foreign = json.loads(run.stdout)
        assert foreign == []
        times.append(milliseconds)
    assert min(times) < 30  # the least, as other work on the machine only adds to it


def test_control_what_else_is_loaded_is_named(tmp_path: Path) -> None:
    (tmp_path / "eplb.py").write_text("import pluggy\n")
    run = subprocess.run(
        [sys.executable, "-c", IMPORT],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pluggy" in json.loads(run.stdout)[1]


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
    run = (ROOT / "tests" / "test_readme.py").read_text()
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
