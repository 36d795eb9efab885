"""Time the parts of a training run: drawing batches, the step, sampling, scoring.

python -m textgan.bench --preset quickstart
python -m textgan.bench --preset ttur --data grammar --device cuda
"""

import time
from collections.abc import Callable
from typing import Any

import torch

from data.command import run_command
from data.corpus import open_corpus
from eval.device import choose_device
from eval.jsd import score_ids
from eval.reference import open_reference
from textgan.config import PRESETS, RunConfig
from textgan.experiment import parse_train
from textgan.train import build_trainer, evaluation_samples, real_batches

_WARM_UP, _STEPS, _EVALUATIONS = 5, 40, 5


def main(arguments: list[str]) -> int:
    """Print milliseconds a part; flags are those of `textgan.train`."""
    config = parse_train(arguments, RunConfig, PRESETS, "textgan.bench", __doc__).config
    device = choose_device(config.device)
    corpus = open_corpus(config.reference.corpus)
    reference = open_reference(config.reference, corpus)
    trainer = build_trainer(config, corpus.vocabulary, device)
    seconds = {"drawing batches": 0.0, "training step": 0.0, "drawing samples": 0.0, "scoring samples": 0.0}

    def timed(part: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds[part] += time.perf_counter() - start
        return result

    for step in range(_WARM_UP + _STEPS):
        if step == _WARM_UP:
            seconds = dict.fromkeys(seconds, 0.0)
        real = timed("drawing batches", lambda: real_batches(config, corpus, trainer.iteration, device))
        timed("training step", lambda: trainer.step(real))  # noqa: B023 (called at once)
    for _ in range(_EVALUATIONS):
        samples = timed("drawing samples", lambda: evaluation_samples(config, trainer, trainer.iteration, device))
        timed("scoring samples", lambda: score_ids(samples, reference.text))  # noqa: B023 (called at once)
    draw, step_seconds = seconds["drawing batches"], seconds["training step"]
    print(f"{config.preset}: dim {config.dim}, batch {config.batch_size}, {device}, {torch.get_num_threads()} threads")
    print(f"drawing batches  {1e3 * draw / _STEPS:9.2f} ms a step, {draw / (draw + step_seconds):.2%} of it")
    print(f"training step    {1e3 * step_seconds / _STEPS:9.2f} ms, {_STEPS / (draw + step_seconds):.1f} steps/s")
    for part in ("drawing samples", "scoring samples"):
        print(f"{part}  {1e3 * seconds[part] / _EVALUATIONS:9.2f} ms for {config.eval_samples}")
    return 0


if __name__ == "__main__":
    run_command(main)
