"""Run several methods with several seeds each on images, under one budget, as `textgan.suite` does for text.

    python -m images.suite --presets ttur-small orig-small --seeds 0 1 2 --set data=folder-of-images minutes=20
    python -m images.suite --file suite.toml --executor ray --workers 8 --gpus 0.25
    python -m images.suite controls --preset ttur-small --output controls.toml

The same command resumes a suite. TOML files, flags and executors are as in `textgan.suite`; compare the runs with
`textgan.compare`.
"""

from data.command import run_command
from images.train import IMAGES
from textgan.suite import run_suite


def main(arguments: list[str]) -> int:
    """Run a suite on images."""
    return run_suite(IMAGES, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
