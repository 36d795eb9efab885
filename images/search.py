"""Search the two learning rates of a training run on images, as `textgan.search` does for text.

    python -m images.search --data folder-of-images --search-dir searches/image-rates
    python -m images.search --method random --trials 20 --critic-lr 1e-5 1e-3 --iterations 4000 --rungs 4

The same command resumes a search. Report results of the best pair on seeds other than the search's.
"""

from data.command import run_command
from images.train import IMAGES
from textgan.search import run_search


def main(arguments: list[str]) -> int:
    """Search the learning rates of training on images."""
    return run_search(IMAGES, arguments, __doc__)


if __name__ == "__main__":
    run_command(main)
