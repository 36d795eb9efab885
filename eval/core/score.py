"""Score and Signature: no number without the settings it depends on, nor without its error where that is known."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from data.naming import printable
from eval.core.tables import Block, Format, fixed, render


@dataclass(frozen=True)
class Signature:
    """All that two scores must share to be compared, in the manner of sacrebleu (Post 2018, arXiv 1804.08771).

    `version` counts the metric's definitions: it is raised when the same settings give other numbers than before.
    """

    metric: str
    settings: Mapping[str, str | int]
    version: int = 1

    def __str__(self) -> str:
        fields = "|".join(f"{name}:{value}" for name, value in self.settings.items())
        return f"{self.metric}|{fields}|v:{self.version}"


def upgraded(signature: str) -> str:
    """Return a signature, or several joined by "; ", as this version writes it; compare recorded ones by this.

    Version 0.1.0 wrote its own number for a metric's first definition, and split words at white space without a word.
    """

    def as_now(part: re.Match[str]) -> str:
        settings, version = part.groups()
        if "|sym:word|" in f"{settings}|" and "|words:" not in settings:
            settings += "|words:whitespace|case:as-is"
        return f"{settings}|v:{'1' if version == '0.1.0' else version}"

    return re.sub(r"(.*?)\|v:([\d.]+)(?=; |$)", as_now, signature)


def without_name(signature: str) -> str:
    """Return a signature without its reference's name: the hash tells one reference from another."""
    return re.sub(r"\|ref:[^|]*@", "|ref:@", signature)


@dataclass(frozen=True)
class Estimate:
    """A value, the 95 % interval of its expectation at this sample count, and what else is known; None where not.

    `corrected` estimates the value of endless samples; `floor` is what as many lines of real text score.
    """

    value: float
    low: float | None = None
    high: float | None = None
    corrected: float | None = None
    floor: float | None = None


@dataclass(frozen=True)
class Score:
    """A metric's values, each under its name ("jsd-4"), with the signature of them all.

    `better` is the direction of better samples; `unit` is what the values are measured in.
    """

    metric: str
    values: Mapping[str, Estimate]
    unit: str
    better: Literal["lower", "higher"]
    samples: int
    reference: str
    signature: Signature

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-serialisable object."""
        return {
            "metric": self.metric,
            "scores": {name: asdict(estimate) for name, estimate in self.values.items()},
            "unit": self.unit,
            "better": self.better,
            "samples": self.samples,
            "reference": self.reference,
            "signature": str(self.signature),
        }


def with_floor(score: Score, real: Score) -> Score:
    """Return a score with the values of real text as its floor."""
    values = {name: replace(value, floor=real.values[name].value) for name, value in score.values.items()}
    return replace(score, values=values)


def as_table(score: Score) -> str:
    """Return a score as lines of text: one for each value, then the signature."""
    known = _known_columns(score)
    width = max(map(len, score.values))
    rows = [f"{'':{width}}    value     95 % interval" + "".join(f"{name:>11}" for name in known)]
    for name, value in score.values.items():
        shown, interval, *others = _cells(value, known)
        cells = "".join(f"{cell:>11}" for cell in others)
        rows.append(f"{name:{width}}  {shown:>7}  {interval:>16}{cells}")
    return "\n".join([*rows, "", printable(score.signature)])


def as_records(score: Score) -> list[dict[str, Any]]:
    """Return a score's values as the rows of a CSV file, with interval, floor and signature."""
    facts = {"unit": score.unit, "better": score.better, "samples": score.samples, "signature": str(score.signature)}
    return [{"metric": score.metric, "name": name, **asdict(value), **facts} for name, value in score.values.items()]


def show(scores: Sequence[Score], output_format: Format) -> None:
    """Print scores: a table each, as one CSV file, or as a JSON list."""
    if output_format == "text":
        for score in scores:
            print(f"{printable(_title(score))}\n\n{as_table(score)}\n")
        return
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
    """Return which of corrected value and floor at least one value has."""
    values = score.values.values()
    return [name for name in ("corrected", "floor") if any(getattr(value, name) is not None for value in values)]


def _cells(value: Estimate, columns: Sequence[str]) -> list[str]:
    """Return a value, its interval, and other numbers of it, "-" if unknown."""
    interval = "-" if value.low is None or value.high is None else f"{fixed(value.low)} .. {fixed(value.high)}"
    others = (getattr(value, column) for column in columns)
    return [fixed(value.value), interval, *("-" if number is None else fixed(number) for number in others)]
