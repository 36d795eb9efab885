"""Time the parts of a training run on images: drawing batches, the training step, drawing and scoring samples.

    python -m images.bench --preset quickstart
    python -m images.bench --preset quickstart --peer
    python -m images.bench --preset dcgan-celeba-ttur --data shapes --eval-samples 5000 --device cuda

With --peer: time the training step beside the same step as most people write it in PyTorch, in its default precision.
Run nothing else at the same time.
"""

from data.command import run_command
from images.peer import peer_step
from images.train import IMAGES
from textgan.bench import run_bench


def main(arguments: list[str]) -> int:
    """Time a training run on images."""
    return run_bench(IMAGES, arguments, __doc__, peer_step)


if __name__ == "__main__":
    run_command(main)
