"""Image files of figures: complete or absent, and the same bytes for the same figure."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InputError
from data.outputs import is_special, require_output, told_on, write_output

if TYPE_CHECKING:  # matplotlib takes half a second, and most commands draw nothing
    from matplotlib.figure import Figure

# Without a date.
_METADATA: dict[str, dict[str, str | None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def require_image_ending(path: Path, flag: str) -> None:
    """Check a figure's file before the work begins.

    Raises:
        InputError: its ending is no known image format, it cannot be written, or it is where tables are printed.
    """
    if told_on(path) is not sys.stdout:
        raise InputError(f"{flag} {path}: tables are printed there; give a file")
    require_output(flag, path, tuple(_METADATA))


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure in the format of the file's ending; PNG to what is no plain file and has none."""
    import matplotlib

    ending = path.suffix.lower()
    if ending not in _METADATA and is_special(path):
        ending = ".png"
    metadata = _METADATA[ending]
    with matplotlib.rc_context({"svg.hashsalt": "textgan"}), write_output(path) as file:
        figure.savefig(file, format=ending[1:], dpi=200, metadata=metadata)
