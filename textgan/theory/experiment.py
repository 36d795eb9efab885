"""Flags, tables and figures that all experiments of the theory share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from data.command import parse_command
from data.errors import require_at_least
from eval.core.figures import require_image_ending, save_figure
from eval.core.tables import Block, FormatFlags, render

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TheoryFlags(FormatFlags):
    """Flags of every experiment."""

    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE.svg")] = None
    """Draw the figure here (.png, .svg, .pdf)."""


@dataclass(frozen=True, kw_only=True)
class NoisyFlags(TheoryFlags):
    """Flags of experiments with noise."""

    paths: int = 200
    """Number of independent paths."""
    seed: int = 0
    """Seed of the noise."""

    def __post_init__(self) -> None:
        """Refuse numbers that no experiment can have.

        Raises:
            InputError: names the flag.
        """
        super().__post_init__()
        require_at_least("--paths", self.paths, 2)
        require_at_least("--seed", self.seed, 0)


@dataclass(frozen=True)
class Findings:
    """The results of an experiment: tables, rows for CSV and JSON (all with the same keys), and a figure on demand."""

    blocks: Sequence[Block]
    records: Sequence[Mapping[str, Any]]
    draw: Callable[[], "Figure"]


Flags = TypeVar("Flags", bound=TheoryFlags)

_STYLE: Any = {
    "figure.titlesize": 11, "axes.titlesize": 9.5, "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.fontsize": 7.5, "axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip
"""Style of all figures of the gallery."""


def run_experiment(
    flags: type[Flags], study: Callable[[Flags], Findings], arguments: Sequence[str], name: str, doc: str | None
) -> int:
    """Run an experiment from the command line: print its tables, draw its figure, and return the exit status.

    Raises:
        InputError: a flag is wrong.
    """
    command = parse_command(flags, arguments, f"textgan.theory {name}", doc)
    if command.output is not None:
        require_image_ending(command.output, "--output")
    findings = study(command)
    print(render(command.output_format, findings.blocks, findings.records))
    if command.output is not None:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            save_figure(findings.draw(), command.output)
    return 0


def panels(rows: int, columns: int, title: str, width: float = 3.4, height: float = 2.6) -> "tuple[Figure, list[Axes]]":
    """Return a figure with a title, and its axes row by row."""
    from matplotlib.figure import Figure

    figure = Figure((width * columns, height * rows), layout="constrained")
    figure.suptitle(title)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel().tolist()


def band(panel: "Axes", x: "np.ndarray[Any, Any]", values: "Tensor", colour: str, **line: Any) -> None:
    """Draw the median of values [points, paths] as a line, in a band between their quantiles of 10 and 90 %."""
    low, middle, high = (values.quantile(share, dim=1, interpolation="nearest") for share in (0.1, 0.5, 0.9))
    panel.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
    panel.plot(x, middle, color=colour, **{"lw": 1.3, **line})
