"""A page in a real browser: Chromium, without a window."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Milliseconds of the page's own clock, which runs as fast as the machine.
PATIENCE = 20_000


def chromium() -> str | None:
    """The program, that of the variable CHROMIUM first."""
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


@dataclass(frozen=True)
class Visit:
    """What a page did."""

    #: What the script returned.
    value: Any
    #: Lines of the console.
    console: list[str]


def visit(page: Path, script: str, *, width: int = 1200, flags: tuple[str, ...] = ()) -> Visit:
    """Opens a page, waits until it is drawn, and runs the body of an async function there.

    The page is in a frame of ``width`` pixels: a window of Chromium cannot be so narrow as a telephone.
    The script returns what JSON can say.
    """
    program = chromium()
    assert program is not None
    folder = page.parent / "visit"
    folder.mkdir(exist_ok=True)
    inner, outer = folder / "page.html", folder / "frame.html"
    before, _, after = page.read_text("utf-8").rpartition("</body>")
    runner = f'<script type="module">{_RUNNER.replace("SCRIPT", script)}</script></body>'
    inner.write_text(before + runner + after, "utf-8")
    outer.write_text(
        f'<iframe src="page.html" style="width:{width}px;height:3000px;border:0"></iframe>'
        "<script>addEventListener('message', ({data}) => document.body.insertAdjacentHTML('beforeend', "
        "'<pre id=value>' + data.replaceAll('&', '&amp;').replaceAll('<', '&lt;') + '</pre>'))</script>"
    )
    result = subprocess.run(
        [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
            f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr",
            f"--virtual-time-budget={PATIENCE}", f"--window-size={max(width + 40, 500)},3100",
            *flags, "--dump-dom", outer.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    console = re.findall(r":CONSOLE[:(]\d+\)?\] (.*)", result.stderr)
    found = re.search(r"<pre id=\"value\">(.*?)</pre>", result.stdout, re.DOTALL)
    assert found, (result.returncode, console, result.stderr[-2000:])
    answer = json.loads(unescape(found[1]))
    assert "error" not in answer, answer
    return Visit(answer["value"], console)


_RUNNER = """
const pause = () => new Promise((done) => setTimeout(done, 50));
while (!document.body.dataset.ready) await pause();
let answer;
try { answer = { value: await (async () => { SCRIPT })() }; } catch (error) { answer = { error: String(error) }; }
parent.postMessage(JSON.stringify(answer), "*");
"""


def main() -> None:
    """Says which browser there is, and installs one where that is one command."""
    if chromium() is None and os.environ.get("CHROMIUM"):
        sys.exit(f"CHROMIUM={os.environ['CHROMIUM']} is not a program")
    if chromium() is None and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "chromium"]
        if subprocess.run(quiet, stdout=subprocess.DEVNULL, check=False).returncode:
            subprocess.run(["apt-get", "-qq", "update"], check=False)
            subprocess.run(quiet, stdout=subprocess.DEVNULL, check=False)
    if (program := chromium()) is None:
        sys.exit(f"no Chromium: install one of {', '.join(NAMES)}, or set CHROMIUM")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    sys.stdout.write(f"{program}: {version.stdout.strip()}\n")


if __name__ == "__main__":
    main()
