"""Folders of the project."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
LOADS = TESTS / "loads"
GOLDEN = TESTS / "golden" / "seed_vectors.npz"
