"""Image files of figures: complete or absent, and the same bytes for the same figure."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InputError
from data.files import atomic_write
from data.naming import printable

if TYPE_CHECKING:  # matplotlib takes half a second, and most commands draw nothing
    from matplotlib.figure import Figure

# Without a date.
_METADATA: dict[str, dict[str, str | None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def require_image_ending(path: Path, flag: str) -> None:
    """Check the ending of a figure's file before the work begins.

    Raises:
        InputError: it is no known image format.
    """
    if path.suffix not in _METADATA:
        raise InputError(f"{flag} {path}: must end in {', '.join(_METADATA)}")


def label(name: str) -> str:
    """Return a name as a label that is drawn as it is: dollars begin no formula, a first underscore hides nothing."""
    shown = printable(name).replace("$", r"\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure in the format of the file's ending. Characters that the font lacks are drawn as boxes."""
    import matplotlib

    with (
        matplotlib.rc_context({"svg.hashsalt": "textgan"}),
        warnings.catch_warnings(),
        atomic_write(path) as file,
    ):
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        figure.savefig(file, format=path.suffix[1:], dpi=200, metadata=_METADATA[path.suffix])
