"""The progress bar of a run, by its training clock; silent where standard error is not a terminal."""

from tqdm import tqdm

from textgan.runlog import Row


class Progress:
    """Shows how much of the budget is used, iterations a second, the latest JSD, and the training time left."""

    def __init__(self, iterations: int | None, minutes: float | None, iteration: int, train_seconds: float) -> None:
        self._iterations, self._minutes = iterations, minutes
        self._start = (iteration, train_seconds)
        self._scores = ""
        self._bar = tqdm(total=1.0, disable=None, bar_format="{percentage:3.0f}%|{bar}| {postfix}", mininterval=0.2)

    def scored(self, row: Row) -> None:
        """Show the 4-gram and 6-gram JSD of an evaluation, or the longest ones there are."""
        lengths = [n for n in (4, 6) if f"jsd_{n}" in row] or [1]
        self._scores = "".join(f", JSD-{n} {row[f'jsd_{n}']:.3f}" for n in lengths)

    def update(self, iteration: int, train_seconds: float) -> None:
        """Show where the run stands."""
        if self._bar.disable:
            return
        fraction = budget_used(iteration, train_seconds, self._iterations, self._minutes)
        iterations, seconds = iteration - self._start[0], train_seconds - self._start[1]
        rate = iterations / seconds if seconds else 0.0
        left = tqdm.format_interval(train_seconds * (1 - fraction) / fraction) if fraction else "?"
        self._bar.n = min(fraction, 1.0)
        self._bar.set_postfix_str(f"iteration {iteration}, {rate:.1f}/s{self._scores}, {left} left", refresh=False)
        self._bar.update(0)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


def budget_used(iteration: int, train_seconds: float, iterations: int | None, minutes: float | None) -> float:
    """Return the used share of whichever budget, iterations or minutes of training, is nearer its end."""
    return max(
        0.0 if iterations is None else iteration / iterations,
        0.0 if minutes is None else train_seconds / (60 * minutes),
    )
