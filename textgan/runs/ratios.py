"""Ratio of the critic's to the generator's learning rate, for runs that differ in their learning rates alone."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.errors import InputError
from textgan.engine.run_folder import NO_METHOD

if TYPE_CHECKING:  # `textgan.suite controls` starts without pandas
    from textgan.runs.aggregate import Group, MethodSummary

_RATES = ("critic_lr", "generator_lr")


def parse_ratio(text: str) -> float:
    """Return the ratio written as a number or a fraction: 9, 0.5, 1/27.

    Raises:
        InputError: the text is neither, or the ratio is not positive and finite.
    """
    try:
        numerator, *denominators = (float(part) for part in text.split("/"))
        ratio = numerator / math.prod(denominators)
    except (ValueError, ZeroDivisionError):
        ratio = math.nan
    if 0 < ratio < math.inf:
        return ratio
    raise InputError(f"--ratios {text}: must be positive, a number or a fraction such as 1/27")


def ratio_name(ratio: float) -> str:
    """Return the name of a ratio, 9 or 1/9, to four digits."""
    return f"{ratio:.4g}" if ratio > 0.99995 else f"1/{1 / ratio:.4g}"


def rate_ratio(group: "Group") -> float | None:
    """Return the critic's rate over the generator's at the start of a group's runs; None without a critic."""
    config = group.runs[0].config
    return float(config["critic_lr"] / config["generator_lr"]) if config.keys() >= set(_RATES) else None


def require_rates_alone(groups: "Sequence[Group]") -> None:
    """Check that groups of runs differ in nothing but the two learning rates.

    Raises:
        InputError: names the run without a critic, or with another setting that differs from the first group's.
    """
    first = groups[0].runs[0]
    if rate_ratio(groups[0]) is None:
        raise InputError(f"--ratio-figure: {first.folder} has no critic; name runs of a GAN")
    for run in (group.runs[0] for group in groups[1:]):
        names = [name for name in {**first.config, **run.config} if name not in NO_METHOD.union(_RATES)]
        if differing := [name for name in names if first.config.get(name) != run.config.get(name)]:
            raise InputError(
                f"--ratio-figure: {run.folder} differs from {first.folder} in {', '.join(sorted(differing))}; "
                "name runs that differ in critic_lr and generator_lr alone"
            )


def by_mean_rate(methods: "Sequence[MethodSummary]") -> "dict[float, list[tuple[float, MethodSummary]]]":
    """Return ratios and methods by the geometric mean of the two rates, the root of their product.

    Means within 1 % are one mean, because suites write rates with six digits. The mean with the most methods comes
    first; its methods are sorted by ratio.
    """
    placed = []
    for method in methods:
        critic_lr, generator_lr = (method.group.runs[0].config[name] for name in _RATES)
        placed.append((math.sqrt(critic_lr * generator_lr), critic_lr / generator_lr, method))
    found: dict[float, list[tuple[float, MethodSummary]]] = {}
    for mean, ratio, method in sorted(placed, key=lambda each: each[:2]):
        near = next((other for other in found if mean <= 1.01 * other), mean)
        found.setdefault(near, []).append((ratio, method))
    longest_first = sorted(found.items(), key=lambda item: len(item[1]), reverse=True)
    return {mean: sorted(pairs, key=lambda pair: pair[0]) for mean, pairs in longest_first}
