"""Write figures to image files: atomically, and the same bytes for the same figure."""

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InputError
from data.naming import printable
from data.outputs import is_special, require_output, told_on, write_output

if TYPE_CHECKING:  # matplotlib takes half a second, and most commands draw nothing
    from matplotlib.figure import Figure

# No date: it would change the bytes.
_METADATA: dict[str, dict[str, str | None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def require_image_ending(path: Path, flag: str) -> None:
    """Check the path of a figure before the work begins.

    Raises:
        InputError: the ending is no known image format, the file cannot be written, or it is stdout.
    """
    if told_on(path) is not sys.stdout:
        raise InputError(f"{flag} {path}: tables are printed there; give a file")
    require_output(flag, path, tuple(_METADATA))


def label(name: str) -> str:
    """Escape a name for matplotlib: a dollar starts no formula, a leading underscore does not hide the legend entry."""
    shown = printable(name).replace("$", r"\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure in the format of the file's ending; a pipe or device without an ending gets PNG.

    Characters that the font lacks are drawn as boxes.

    Raises:
        KeyError: the ending is no known image format; `require_image_ending` refuses it earlier.
    """
    import matplotlib

    ending = path.suffix.lower()
    if ending not in _METADATA and is_special(path):
        ending = ".png"
    with (
        matplotlib.rc_context({"svg.hashsalt": "textgan"}),
        warnings.catch_warnings(),
        write_output(path) as file,
    ):
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        figure.savefig(file, format=ending[1:], dpi=200, metadata=_METADATA[ending])
