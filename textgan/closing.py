"""The last lines of a run: what happened, and what to try next."""

import os
import sys
from pathlib import Path
from typing import Any

from data.naming import as_command, printable
from textgan.rundir import score_title


def closing_words(folder: Path, summary: dict[str, Any]) -> str:
    """Return the last lines of a run for someone who sees one for the first time."""
    samples = folder / "samples" / f"{summary['totals']['iteration']}.txt"
    lines = [
        how_long(folder, summary),
        "\nn-gram JSD of the samples (0: just like the training text, 1: nothing in common with it)",
        "          start    best     now   real text",
    ]
    for name, best in summary["best"].items():
        floor = "-" if summary["floor"] is None else f"{summary['floor'][name]:.3f}"
        first, last = summary["first"][name], summary["last"][name]
        lines.append(f"  {score_title(name)}   {first:.3f}   {best['value']:.3f}   {last:.3f}   {floor:>9}")
    lines.append("\nsome of the last samples")
    lines += [f"    {printable(line)}" for line in samples.read_text("utf-8").split("\n")[:5]]
    python, tensorboard = commands()
    train = as_command(python, "-m", "textgan.train")
    lines += [
        "\ntry next",
        f"    {as_command(tensorboard, '--logdir', folder.parent)}    # curves and samples, by training time",
        f"    {as_command(python, '-m', 'eval.jsd', samples)}",
        f"    {as_command(python, '-m', 'textgan.sample', folder)} --count 1000 --output samples.txt",
        f"    {train} --preset orig-small --minutes 20    # the baseline; ttur-small is its rival",
        f"    {train} --preset ttur --data lm1b    # the paper's experiment, for a GPU",
    ]
    return "\n".join(lines)


def how_long(folder: Path, summary: dict[str, Any]) -> str:
    """Return the first line: which run, and how far it came in which time."""
    totals = summary["totals"]
    minutes, in_all = totals["train_seconds"] / 60, totals["wall_seconds"] / 60
    took = f"{minutes:.1f} minutes of training ({in_all:.1f} in all)"
    return f"\n{printable(folder)}: {totals['iteration']:,} iterations, {took}"


def commands() -> tuple[str, str]:
    """Return how to call Python and TensorBoard: by path where they are in a virtual environment below this folder."""
    if Path(sys.executable).is_relative_to(Path.cwd()):
        python = os.path.relpath(sys.executable)
        return python, str(Path(python).with_name("tensorboard"))
    return "python", "tensorboard"
