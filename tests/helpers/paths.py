"""Folders that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The checkout."""
REAL_DATA = ROOT.parent / "shared" / "data"
"""Real text and images; tests that need them are skipped where they do not lie beside the checkout."""
