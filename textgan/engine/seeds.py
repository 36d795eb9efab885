"""Seeds of all random numbers, as a function of the run's seed, a purpose and an iteration."""

import numpy as np

_STREAMS = ("initialise", "step", "batches", "samples", "sweep")


def stream_seed(seed: int, stream: str, iteration: int) -> int:
    """Return a 64-bit seed for one purpose (`stream`) at one iteration of a run with this seed."""
    sequence = np.random.SeedSequence([seed, _STREAMS.index(stream), iteration])
    return int(sequence.generate_state(1, np.uint64)[0])
