"""Write the suite that tells two time scales from good rates on images, as `textgan.controls` does for text.

python -m images.controls --preset ttur-small --output controls.toml
python -m images.suite --file controls.toml --suite-dir suites/controls
"""

from data.command import run_command
from images.train import IMAGES
from textgan.controls import run_controls


def main(arguments: list[str]) -> int:
    """Write the suite for images."""
    return run_controls(IMAGES, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
