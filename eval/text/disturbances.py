"""Six disturbances of lines at increasing levels; the level is the proportion of words or lines that are disturbed.

Level 0 changes nothing. Random numbers depend on the seed only, not on the level: a higher level disturbs the same
places and more.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError
from eval.core.sensitivity import SEED

LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75)
"""Levels of every disturbance."""
REMAINING = 10
"""Distinct lines that replace others in a mode collapse."""

Lines = Sequence[str]


@dataclass(frozen=True)
class Disturbance:
    """A disturbance of lines: `apply(lines, level, seed)` returns as many lines, disturbed."""

    name: str
    apply: Callable[[Lines, float, int], list[str]]


def all_disturbances(others: Lines, space: str = " ") -> tuple[Disturbance, ...]:
    """Return the six disturbances.

    Args:
        others: lines of another text, for the contamination; at least 3/4 of the number of lines to disturb.
        space: what separates words: a space, or nothing if each character is a word.
    """
    return (
        Disturbance("words dropped", partial(words_dropped, space=space)),
        Disturbance("words swapped", partial(words_swapped, space=space)),
        Disturbance("words repeated", partial(words_repeated, space=space)),
        Disturbance("truncated", lambda lines, level, _seed: truncated(lines, level, space)),
        Disturbance("mode collapse", mode_collapse),
        Disturbance("contamination", partial(contamination, others=others)),
    )


def words_dropped(lines: Lines, level: float, seed: int, space: str = " ") -> list[str]:
    """Return lines without each of their words with probability `level`."""
    kept = ((words, chance >= level) for words, chance in _with_chances(lines, seed, space))
    return [space.join(np.array(words, object)[keep]) for words, keep in kept]


def words_swapped(lines: Lines, level: float, seed: int, space: str = " ") -> list[str]:
    """Return lines in which words, chosen with probability `level`, take the place of the next chosen word.

    The last chosen word of a line takes the place of the first one.
    """
    swapped = []
    for words, chance in _with_chances(lines, seed, space):
        chosen = np.flatnonzero(chance < level)
        moved = np.array(words, object)
        moved[chosen] = moved[np.roll(chosen, 1)]
        swapped.append(space.join(moved))
    return swapped


def words_repeated(lines: Lines, level: float, seed: int, space: str = " ") -> list[str]:
    """Return lines with each of their words twice, one after the other, with probability `level`."""
    repeated = ((words, 1 + (chance < level)) for words, chance in _with_chances(lines, seed, space))
    return [space.join(np.repeat(np.array(words, object), times)) for words, times in repeated]


def truncated(lines: Lines, level: float, space: str = " ") -> list[str]:
    """Return the first words of each line: a proportion of 1 - `level`, rounded up."""
    words_of = (_words(line, space) for line in lines)
    return [space.join(words[: math.ceil((1 - level) * len(words))]) for words in words_of]


def mode_collapse(lines: Lines, level: float, seed: int) -> list[str]:
    """Return lines, each replaced with probability `level` by one of ten of them: a generator with ten modes."""
    random = np.random.default_rng(seed)
    few = random.permutation(len(lines))[:REMAINING]
    replaced = random.random(len(lines)) < level
    return [lines[few[i % few.size]] if replaced[i] else line for i, line in enumerate(lines)]


def contamination(lines: Lines, level: float, seed: int, others: Lines) -> list[str]:
    """Return lines with round(level N) of them, at random, replaced by random lines of `others`, none used twice.

    Raises:
        InputError: `others` are too few.
    """
    require_others(others, lines, level)
    random = np.random.default_rng(seed)
    places = random.permutation(len(lines))[: round(level * len(lines))]
    contaminated = list(lines)
    for place, other in zip(places, random.permutation(len(others)), strict=False):
        contaminated[place] = others[other]
    return contaminated


def require_others(others: Lines, lines: Lines, level: float = max(LEVELS)) -> None:
    """Raise an error if `others` are too few to contaminate the lines up to a level."""
    if (needed := round(level * len(lines))) > len(others):
        raise InputError(
            f"--contaminate-with: {len(others):,} lines, but {needed:,} are needed; give more, or a lower --count"
        )


def split(lines: Lines, name: str) -> tuple[list[str], list[str]]:
    """Return two halves of the lines, chosen at random and in random order.

    Raises:
        InputError: fewer than four lines.
    """
    if len(lines) < 4:
        raise InputError(f"{name}: {len(lines)} lines do not make two halves; give at least 4")
    order = np.random.default_rng(SEED).permutation(len(lines))
    half = len(lines) // 2
    return [lines[i] for i in order[:half]], [lines[i] for i in order[half:]]


def _words(line: str, space: str) -> list[str]:
    return line.split(space) if space and line else list(line)


def _with_chances(lines: Lines, seed: int, space: str) -> Iterator[tuple[list[str], NDArray[np.float64]]]:
    """Yield the words of each line, and a random number from 0 to 1 for each word."""
    random = np.random.default_rng(seed)
    for line in lines:
        words = _words(line, space)
        yield words, random.random(len(words))
