"""The last lines of a run on images: what happened, and what to try next."""

from pathlib import Path
from typing import Any

from data.naming import as_command, printable
from textgan.closing import commands, how_long
from textgan.rundir import score_title


def closing_words(folder: Path, summary: dict[str, Any]) -> str:
    """Return the last lines of a run for someone who sees one for the first time."""
    lines = [how_long(folder, summary) + "\n"]
    for name, best in summary["best"].items():
        floor = "-" if summary["floor"] is None else f"{summary['floor'][name]:.3f}"
        first, last = summary["first"][name], summary["last"][name]
        lines.append(f"{'':9} {'start':>9} {'best':>9} {'now':>9}   real images")
        lines.append(f"{score_title(name):9} {first:9.3f} {best['value']:9.3f} {last:9.3f} {floor:>13}")
    python, tensorboard = commands()
    train = as_command(python, "-m", "images.train")
    lines += [
        f"\nlook at {printable(folder / 'samples' / str(summary['totals']['iteration']))}.png",
        "\ntry next",
        f"    {as_command(tensorboard, '--logdir', folder.parent)}    # curves and samples, by training time",
        f"    {as_command(python, '-m', 'images.sample', folder)} --count 1000 --output samples.npz",
        f"    {train} --preset orig-small --minutes 20    # the baseline; ttur-small is its rival",
        f"    {train} --preset dcgan-celeba-ttur    # the paper's experiment, for a GPU",
    ]
    return "\n".join(lines)
