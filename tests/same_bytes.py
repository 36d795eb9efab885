"""Compare what two commits compute: 20 iterations of each small preset, the bytes of all weights, every score.

    make same-bytes BASE=423dd7f

Both commits run here, on one thread, so that no hash of weights has to be committed: floating-point results differ
between machines. BASE runs from a temporary git worktree, the working tree as it is. Weights and columns of training
must be equal to the last bit; scores within 1e-12, as sums may be taken in another order.
"""

import hashlib
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.helpers.paths import ROOT
from textgan.engine.run_folder import read_metrics

_TEXT = ("textgan.train", "--data", "grammar", "--lines", "20000", "--eval-samples", "200")
_IMAGES = ("images.train", "--data", "shapes", "--count", "500", "--features", "random-conv", "--eval-samples", "100")
_RESIDUAL = ("--preset", "wgan-gp-cifar10-ttur", "--dim", "8", "--batch-size", "8")
RUNS: Mapping[str, tuple[str, ...]] = {
    **{preset: (*_TEXT, "--preset", preset) for preset in ("quickstart", "ttur-small", "orig-small", "mle-small")},
    **{f"images-{preset}": (*_IMAGES, "--preset", preset) for preset in ("ttur-small", "orig-small")},
    # The images quickstart was changed on purpose in November 2026; these are its former settings.
    "images-ema": (
        *_IMAGES,
        "--preset",
        "ttur-small",
        "--generator-lr",
        "1e-3",
        "--batch-size",
        "32",
        "--generator-average",
        "0.995",
    ),
    "images-wgan-gp": (*_IMAGES, *_RESIDUAL),
    "images-wgan-gp-paper-compat": (*_IMAGES, *_RESIDUAL, "--faults", "paper-compat"),
}
_LIMITS = ("--iterations", "20", "--eval-every", "10", "--checkpoint-every", "20", "--seed", "3", "--device", "cpu")


@dataclass(frozen=True)
class Result:
    """A run's outcome: the hash of its last checkpoint's tensors, and its rows without clocks."""

    weights: str
    rows: list[dict[str, Any]]


def run(checkout: Path, folder: Path, arguments: tuple[str, ...]) -> Result:
    """Train by a checkout's code and return the result.

    Raises:
        CalledProcessError: the run failed; its messages are on stderr.
    """
    command = [sys.executable, "-m", *arguments, *_LIMITS, "--run-dir", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    subprocess.run(command, cwd=checkout, env=environment, check=True, stdout=subprocess.DEVNULL)
    (tensors,) = folder.glob("checkpoints/000000020/tensors.safetensors")
    rows = [
        {name: value for name, value in row.items() if not name.endswith("_seconds")} for row in read_metrics(folder)
    ]
    return Result(hashlib.sha256(tensors.read_bytes()).hexdigest(), rows)


def differences(before: Result, now: Result) -> list[str]:
    """Return a line per difference between two results."""
    found = [] if before.weights == now.weights else [f"weights: {before.weights} before, {now.weights} now"]
    if len(before.rows) != len(now.rows):
        return [*found, f"rows: {len(before.rows)} before, {len(now.rows)} now"]
    for old, new in zip(before.rows, now.rows, strict=True):
        for name in sorted(old):  # a later version may log more
            was, is_now = old.get(name), new.get(name)
            tolerance = 1e-12 if name.startswith("scores/") else 0.0
            if was != is_now and (was is None or is_now is None or abs(was - is_now) > tolerance):
                found.append(f"iteration {new['iteration']}, {name}: {was} before, {is_now} now")
    return found


def main() -> int:
    """Print one line per run; the status is 1 if any differs."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("base", help="commit to compare with")
    parser.add_argument("names", nargs="*", help=f"runs to compare: {', '.join(RUNS)} (default: all)")
    flags = parser.parse_args()
    different = 0
    with TemporaryDirectory() as temporary:
        base = Path(temporary) / "base"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", base, flags.base], cwd=ROOT, check=True)
        try:
            for name in flags.names or RUNS:
                before = run(base, Path(temporary) / f"{name}-before", RUNS[name])
                now = run(ROOT, Path(temporary) / f"{name}-now", RUNS[name])
                found = differences(before, now)
                different += bool(found)
                verdict = "\n  ".join(["DIFFERENT", *found]) if found else "same"
                print(f"{name}: weights {now.weights[:12]}, {len(now.rows)} rows: {verdict}", flush=True)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", base], cwd=ROOT, check=True)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
