"""Scores with confidence intervals, and signatures of all settings that a score depends on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from eval.core.tables import Block, Format, fixed, render

Better = Literal["lower", "higher"]
"""Which values of a score mean better samples."""


@dataclass(frozen=True)
class Signature:
    """The settings that two scores must share to be comparable, after sacrebleu (Post 2018, arXiv 1804.08771).

    `version` counts the definitions of the metric: it is raised when the same settings give other numbers than before.
    """

    metric: str
    settings: Mapping[str, str | int]
    version: int = 1

    def __str__(self) -> str:
        fields = "|".join(f"{name}:{value}" for name, value in self.settings.items())
        return f"{self.metric}|{fields}|v:{self.version}"


def upgraded(signature: str) -> str:
    """Rewrite a signature, or several joined by "; ", in the current format; apply it before comparing recorded ones.

    Release 0.1.0 wrote `v:0.1.0` for a metric's first definition, and split words at white space without saying so.
    """

    def as_now(part: re.Match[str]) -> str:
        settings, version = part.groups()
        if "|sym:word|" in f"{settings}|" and "|words:" not in settings:
            settings += "|words:whitespace|case:as-is"
        return f"{settings}|v:{'1' if version == '0.1.0' else version}"

    return re.sub(r"(.*?)\|v:([\d.]+)(?=; |$)", as_now, signature)


def without_name(signature: str) -> str:
    """Return a signature without the name of the reference, which the hash already identifies."""
    return re.sub(r"\|ref:[^|]*@", "|ref:@", signature)


@dataclass(frozen=True)
class Estimate:
    """A score's value and the 95 % confidence interval of its expectation at this sample count; None if unknown.

    `corrected` estimates the value at infinite sample size; `floor` is the score of the same number of real lines.
    `error` is the standard error of the value over samples, with `freedom` degrees of freedom; it is not printed.
    """

    value: float
    low: float | None = None
    high: float | None = None
    corrected: float | None = None
    floor: float | None = None
    error: float | None = None
    freedom: int = 0

    def scaled(self, factor: float) -> "Estimate":
        """Return the estimate in another unit: all numbers times a positive factor."""
        names = ("value", "low", "high", "corrected", "floor", "error")
        numbers = {name: getattr(self, name) for name in names}
        return replace(self, **{name: factor * number for name, number in numbers.items() if number is not None})

    def as_json(self) -> dict[str, float | None]:
        """Return the printed numbers by name."""
        names = ("value", "low", "high", "corrected", "floor")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Score:
    """The values of a metric by name ("jsd-4"), with their common signature, unit and direction."""

    metric: str
    values: Mapping[str, Estimate]
    unit: str
    better: Better
    samples: int
    reference: str
    signature: Signature

    def as_json(self) -> dict[str, Any]:
        """Return the score as a JSON-serialisable object."""
        return {
            "metric": self.metric,
            "scores": {name: estimate.as_json() for name, estimate in self.values.items()},
            "unit": self.unit,
            "better": self.better,
            "samples": self.samples,
            "reference": self.reference,
            "signature": str(self.signature),
        }


def with_floor(score: Score, real: Score) -> Score:
    """Return `score` with the values of `real`, the score of real text, as floor."""
    values = {name: replace(value, floor=real.values[name].value) for name, value in score.values.items()}
    return replace(score, values=values)


def as_records(score: Score) -> list[dict[str, Any]]:
    """Return a score as CSV rows, one per value, with interval, floor and signature."""
    facts = {"unit": score.unit, "better": score.better, "samples": score.samples, "signature": str(score.signature)}
    return [{"metric": score.metric, "name": name, **value.as_json(), **facts} for name, value in score.values.items()]


def show(scores: Sequence[Score], output_format: Format) -> None:
    """Print scores: one table per score, one CSV table of all, or a JSON list."""
    blocks = []
    for score in scores:
        known = _known_columns(score)
        rows = [[name, *_cells(value, known)] for name, value in score.values.items()]
        blocks.append(Block(_title(score), [["", "value", "95 % interval", *known], *rows], (), [str(score.signature)]))
    records = [record for score in scores for record in as_records(score)]
    print(render(output_format, blocks, records, [score.as_json() for score in scores]))


def _title(score: Score) -> str:
    return f"{score.metric} of {score.samples:,} samples against {score.reference}, {score.better} is better"


def _known_columns(score: Score) -> list[str]:
    """Return the columns among `corrected` and `floor` that hold at least one number."""
    values = score.values.values()
    return [name for name in ("corrected", "floor") if any(getattr(value, name) is not None for value in values)]


def _cells(value: Estimate, columns: Sequence[str]) -> list[str]:
    """Return the cells of a table row: value, interval and the given columns, "-" if unknown."""
    interval = "-" if value.low is None or value.high is None else f"{fixed(value.low)} .. {fixed(value.high)}"
    others = (getattr(value, column) for column in columns)
    return [fixed(value.value), interval, *("-" if number is None else fixed(number) for number in others)]
