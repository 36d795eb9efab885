"""Whether a score follows increasing disturbance: rank correlation with the level, violations, rows of tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import spearmanr

from eval.core.score import Better, Estimate, Score

SEED = 0
"""Seed of the split into halves and of the random disturbances."""


@dataclass(frozen=True)
class Response:
    """A score's values at increasing levels of a disturbance."""

    disturbance: str
    levels: Sequence[float]
    values: Sequence[Estimate]

    def monotonicity(self, better: Better) -> tuple[float | None, int]:
        """Return `monotonicity` of the values."""
        return monotonicity([value.value for value in self.values], better)


def monotonicity(values: Sequence[float], better: Better) -> tuple[float | None, int]:
    """Return the rank correlation of level and badness, and the number of levels no worse than the previous one.

    The correlation is Spearman's, and None if all values are equal.
    """
    badness = np.array(values) * (1 if better == "lower" else -1)
    violations = int((np.diff(badness) <= 0).sum())
    same = bool((badness == badness[0]).all())
    return None if same else float(spearmanr(np.arange(len(badness)), badness).statistic), violations


def shown_correlation(rho: float | None) -> str:
    """Return a rank correlation for a table, "-" if all values are equal."""
    return "-" if rho is None else f"{rho:+.1f}"


def values_by_level(responses: Sequence[Response]) -> dict[str, Estimate]:
    """Return the values of a score by disturbance and level, as `Score.values` has them."""
    return {
        f"{response.disturbance} {level:g}": value
        for response in responses
        for level, value in zip(response.levels, response.values, strict=True)
    }


def as_rows(score: Score, responses: Sequence[Response], counted: Literal["images", "lines"]) -> list[dict[str, Any]]:
    """Return a CSV row per disturbance and level; `counted` is the name of the column with the number of samples."""
    rows = []
    for response in responses:
        rho, violations = response.monotonicity(score.better)
        rows += [
            {
                "metric": score.metric, "disturbance": response.disturbance, "level": level, "value": value.value,
                "low": value.low, "high": value.high, "rank_correlation": rho, "violations": violations,
                "unit": score.unit, "better": score.better, counted: score.samples, "signature": str(score.signature),
            }
            for level, value in zip(response.levels, response.values, strict=True)
        ]  # fmt: skip
    return rows


def as_json(score: Score, responses: Sequence[Response]) -> Mapping[str, Any]:
    """Return the score as a JSON object with rank correlation and violations per disturbance."""
    found = {response.disturbance: response.monotonicity(score.better) for response in responses}
    correlations = {name: rho for name, (rho, _) in found.items()}
    violations = {name: count for name, (_, count) in found.items()}
    return {**score.as_json(), "rank_correlation": correlations, "violations": violations}
