"""Mutants of the core: each is a changed line that some test must see. `make mutants`.

Every source file is a shard. A shard is run again only where its file has changed since the record,
`results.json`, was made; an interrupted run goes on where it stopped. First come the tests closest to
the file, then, for what these let live, those that plan, then all tests of the crate. What survives all needs a reason in
`survivors.json`: `tests/test_mutants.py` holds the record to that.

    python tests/mutants/run.py [--changed BASE] [FILE ...]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
SOURCES = ROOT / "rust_core" / "src"
RECORD = Path(__file__).parent / "results.json"
REASONS = Path(__file__).parent / "survivors.json"
OUT = ROOT / "build" / "mutants"

#: Source file -> the tests most likely to see its mutants, and quick to build.
CLOSEST = {
    "bounds.rs": ["--test=bounds"],
    "certificate.rs": ["--test=certificate"],
    "descending.rs": ["--lib"],
    "error.rs": ["--test=topology"],
    "load.rs": ["--test=loads"],
    "outside.rs": ["--test=verifier"],
    "plan.rs": ["--test=plan"],
    "ratio.rs": ["--lib"],
    "share.rs": ["--test=certificate"],
    "topology.rs": ["--test=topology"],
    "trace/mod.rs": ["--lib"],
    "verify.rs": ["--test=verifier"],
}
#: Of a file that has no line above: the answers of every policy.
OTHERWISE = ["--test=digests"]
PLANNING = ["--lib", "--test=planner"]
ALL = ["--lib", "--tests"]
#: Bytes that each process may have, for mutants that fill the memory before their time is up.
MEMORY = 4 << 30


def digest(name: str) -> str:
    """What tells whether a source file is still the one that was mutated, but for words of comments."""
    code = re.sub(rb"(?m)^\s*//.*$", b"//", (SOURCES / name).read_bytes())
    return hashlib.sha256(code).hexdigest()[:16]


def names() -> list[str]:
    """Every source file that is not a test, as in CLOSEST."""
    found = (path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.rs"))
    return sorted(name for name in found if not name.endswith("tests.rs"))


def record() -> dict[str, Any]:
    """What is known: source file -> its digest, counts and survivors."""
    known: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return known


def environment() -> dict[str, str]:
    """Cargo builds what all runs share once: where git does not look, so that it is not copied."""
    return {"CARGO_TARGET_DIR": str(OUT / "target")} | os.environ


def refuse_a_core_that_fails() -> None:
    """Where the core does not build no mutant does, and where a test falls every mutant is caught."""
    command = ["cargo", "test", "--package=eplb-core", "--profile=mutants", "--quiet", "--locked"]
    if subprocess.run([*command, *ALL], cwd=ROOT, env=environment()).returncode:
        sys.exit("the core as it is does not pass its tests: mutants would tell nothing")


def cargo_mutants(arguments: list[str], tests: list[str], out: Path) -> None:
    """Run it; survivors are no error here."""
    # Seconds after which a mutant counts as one that never ends: many times what the tests take.
    patience = {tuple(PLANNING): 60, tuple(ALL): 90}.get(tuple(tests), 20)
    command = [
        *("cargo", "mutants", "--package=eplb-core", "--jobs=1", "--profile=mutants"),
        *("--baseline=skip", f"--timeout={patience}", f"--output={out}"),
        *("--no-times", "--colors=never", "--cap-lints=true"),
        # What comes after `--` would not be for building, which then builds all tests.
        *(f"--cargo-arg={argument}" for argument in ("--locked", *tests)),
        *arguments,
    ]
    limit = ["prlimit", f"--as={MEMORY}"]
    code = subprocess.run([*limit, *command], cwd=ROOT, env=environment()).returncode
    if code not in (0, 2, 3):  # none survived, some did, some ran too long
        sys.exit(f"cargo mutants gave {code}")


def outcomes(out: Path) -> dict[str, list[str]]:
    """Mutants by what became of them, those of interrupted runs too."""
    folder = out / "mutants.out"
    found: dict[str, set[str]] = {}
    for kind in ("caught", "missed", "timeout", "unviable"):
        path = folder / f"{kind}.txt"
        found[kind] = set(path.read_text().splitlines()) if path.exists() else set()
    earlier = folder / "previously_caught.txt"  # of these, the unviable are not told apart
    if earlier.exists():
        found["caught"] |= set(earlier.read_text().splitlines())
    return {kind: sorted(mutants) for kind, mutants in found.items()}


def settle_timeouts(folder: Path) -> None:
    """Let mutants that do not end count as caught: else each further set of tests waits for them."""
    caught, timeouts = folder / "caught.txt", folder / "timeout.txt"
    caught.write_text(caught.read_text() + timeouts.read_text())
    timeouts.write_text("")


def stages(name: str, patterns: list[str], out: Path, reasons: dict[str, str]) -> set[str]:
    """Run mutants of a file, by more tests while something survives without a reason.

    Returns those that do not build.
    """
    unviable: set[str] = set()
    for tests in (CLOSEST.get(name, OTHERWISE), PLANNING, ALL):
        cargo_mutants([f"--file=rust_core/src/{name}", *patterns, "--iterate"], tests, out)
        kept = out / "unviable"
        unviable |= set(outcomes(out)["unviable"])
        unviable |= set(kept.read_text().splitlines()) if kept.exists() else set()
        kept.write_text("\n".join(sorted(unviable)))
        settle_timeouts(out / "mutants.out")
        if not any(unexplained_of(mutant, reasons) for mutant in outcomes(out)["missed"]):
            break
    return unviable


def shard(name: str, reasons: dict[str, str]) -> dict[str, Any]:
    """Mutate one file."""
    out = OUT / name.removesuffix(".rs").replace("/", "-")
    out.mkdir(parents=True, exist_ok=True)
    begun = out / "digest"
    if not begun.exists() or begun.read_text() != digest(name):
        subprocess.run(["rm", "-rf", str(out / "mutants.out"), str(out / "mutants.out.old")])
        (out / "unviable").unlink(missing_ok=True)
        begun.write_text(digest(name))
    unviable = stages(name, [], out, reasons)
    found = outcomes(out)
    return {
        "digest": digest(name),
        "caught": len(set(found["caught"]) - unviable),
        "unviable": len(unviable),
        "survived": found["missed"],
    }


def retry(name: str, known: dict[str, Any], reasons: dict[str, str]) -> None:
    """Run the survivors of a file that have no reason once more: there may be new tests."""
    again = [mutant for mutant in known[name]["survived"] if unexplained_of(mutant, reasons)]
    out = OUT / "again"
    subprocess.run(["rm", "-rf", str(out)])
    out.mkdir(parents=True)
    stages(name, [f"--re=^{re.escape(mutant)}$" for mutant in again], out, reasons)
    gone = set(again) & set(outcomes(out)["caught"])
    known[name]["caught"] += len(gone)
    known[name]["survived"] = [m for m in known[name]["survived"] if m not in gone]


def is_current(name: str, known: dict[str, Any]) -> bool:
    """Whether the record is of the file as it is."""
    return bool(known.get(name, {}).get("digest") == digest(name))


def done(name: str, known: dict[str, Any], reasons: dict[str, str]) -> bool:
    """Whether nothing of a file needs to be run."""
    return is_current(name, known) and not unexplained({name: known[name]}, reasons)


def current(known: dict[str, Any]) -> dict[str, Any]:
    """Of the record the files that have not changed since."""
    return {name: known[name] for name in names() if is_current(name, known)}


def score(known: dict[str, Any]) -> str:
    """How many were caught, and how far the record goes."""
    files = current(known).values()
    caught = sum(shard["caught"] for shard in files)
    survived = sum(len(shard["survived"]) for shard in files)
    share = 100 * caught / max(1, caught + survived)
    return (
        f"{caught} of {caught + survived} viable mutants caught ({share:.1f} %), "
        f"in {len(files)} of {len(names())} files"
    )


def unexplained_of(mutant: str, reasons: dict[str, str]) -> str:
    """The mutant as `survivors.json` names it, if that has no reason; else nothing.

    For its line and column stands the text from there on: another line has another mutant.
    """
    path, line, column, what = mutant.split(":", 3)
    lines = [*(ROOT / path).read_text().splitlines(), *[""] * int(line)]
    name = f"{path}:{what}: {lines[int(line) - 1][int(column) - 1 :]}"
    return "" if reasons.get(name) else name


def is_of(name: str, known: dict[str, Any]) -> bool:
    """Whether a name of `survivors.json` is of one of these files."""
    return Path(name.partition(":")[0]).relative_to("rust_core/src").as_posix() in known


def unexplained(known: dict[str, Any], reasons: dict[str, str]) -> list[str]:
    """Survivors of the record without a reason."""
    survivors = (mutant for shard in known.values() for mutant in shard["survived"])
    names = {unexplained_of(mutant, reasons) for mutant in survivors}
    return sorted(names - {""})


def changed(base: str) -> int:
    """Mutate the lines that differ from `base` only."""
    command = ["git", "ls-files", "--others", "--exclude-standard", "--", "rust_core/src"]
    if unknown := subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout:
        sys.exit(f"git add these first, or no line of them is mutated:\n{unknown.decode()}")
    OUT.mkdir(parents=True, exist_ok=True)
    diff = OUT / "changed.diff"
    command = ["git", "diff", base, "--", "rust_core/src"]
    diff.write_bytes(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    if not diff.read_bytes():
        return 0
    refuse_a_core_that_fails()
    out = OUT / "changed"
    subprocess.run(["rm", "-rf", str(out)])
    cargo_mutants([f"--in-diff={diff}"], ALL, out)
    lines = survivors(out, json.loads(REASONS.read_text()))
    return int(bool(lines))


def survivors(out: Path, reasons: dict[str, str]) -> list[str]:
    """Those of a run that have no reason."""
    return [mutant for mutant in outcomes(out)["missed"] if unexplained_of(mutant, reasons)]


def main() -> int:
    """Run what is asked for, and keep what it found, file by file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="as in rust_core/src; all by default")
    parser.add_argument("--changed", metavar="BASE", help="only lines changed since this commit")
    options = parser.parse_args()
    if options.changed:
        return changed(options.changed)
    reasons = json.loads(REASONS.read_text())
    asked = [name for name in options.files or names() if not done(name, record(), reasons)]
    if asked:
        refuse_a_core_that_fails()
    for name in asked:
        known = record()
        if not is_current(name, known):
            known[name] = shard(name, reasons)
        else:
            retry(name, known, reasons)
        RECORD.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
    lines = unexplained(current(record()), reasons)
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
