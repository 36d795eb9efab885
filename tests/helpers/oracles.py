"""Slow and obvious implementations that the project's are compared with."""

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from data.line_ids import Ids
from eval.text.counts import Keys, NgramCounts

# --- n-grams of characters

Window = tuple[int, ...]
Dictionary = Counter[Window]


def line_dictionary(line: list[int], ngram: int, padding: bool = True) -> Dictionary:
    """Count a line's n-grams as tuples of ids; n-grams that contain padding are optional."""
    windows = (tuple(line[start : start + ngram]) for start in range(len(line) - ngram + 1))
    return Counter(window for window in windows if padding or 0 not in window)


def dictionary_counts(ids: Ids, ngram: int, padding: bool = True) -> Dictionary:
    """Count the n-grams of lines of ids as tuples."""
    counts: Dictionary = Counter()
    for line in ids.tolist():
        for start in range(len(line) - ngram + 1):
            window = tuple(line[start : start + ngram])
            if padding or 0 not in window:
                counts[window] += 1
    return counts


def windows_of(keys: Keys, ngram: int, base: int) -> list[Window]:
    """Undo the packing, one Python integer at a time: a wide key is two words, the low one as full as 64 bits allow."""
    low = max(n for n in range(1, 65) if base**n <= 1 << 64)
    windows = []
    for key in keys.tolist():
        if isinstance(key, bytes):
            word = key.ljust(16, b"\0")
            number = int.from_bytes(word[:8], "big") * base**low + int.from_bytes(word[8:], "big")
        else:
            number = key
        windows.append(tuple(number // base**power % base for power in reversed(range(ngram))))
    return windows


def text_dictionary(lines: list[str], ngram: int, seq_len: int = 32, padding: bool = True) -> Dictionary:
    total: Dictionary = Counter()
    for line in lines:
        codes = [ord(character) for character in line[:seq_len]]
        total.update(line_dictionary(codes + [0] * (seq_len - len(codes)), ngram, padding))
    return total


def as_dictionary(counted: NgramCounts, ngram: int, base: int) -> Dictionary:
    return Counter(dict(zip(windows_of(counted.keys, ngram, base), counted.counts.tolist(), strict=True)))


# --- n-grams of words

Windows = Counter[tuple[str, ...]]


def windows(line: str, ngram: int) -> Windows:
    """Count a line's n-grams of words, split at white space."""
    words = re.findall(r"\S+", line)
    return Counter(tuple(words[start : start + ngram]) for start in range(len(words) - ngram + 1))


def all_windows(lines: Iterable[str], ngram: int) -> Windows:
    counts = Windows()
    for line in lines:
        counts.update(windows(line, ngram))
    return counts


# --- BLEU

WEIGHTS = [(1 / n,) * n for n in range(2, 6)]
METHOD1 = SmoothingFunction().method1


def nltk_bleu(sample: str, references: Sequence[str]) -> list[float]:
    found = sentence_bleu([line.split() for line in references], sample.split(), WEIGHTS, METHOD1)
    return [float(each) for each in found]


def nltk_self_bleu(lines: Sequence[str]) -> list[list[float]]:
    return [nltk_bleu(line, [*lines[:number], *lines[number + 1 :]]) for number, line in enumerate(lines)]


# --- intervals


def pseudo_value_interval(value: float, left_out: Sequence[float]) -> tuple[float, float]:
    """Tukey's way: the scores without a line make pseudo-values, whose mean has the usual standard error."""
    lines = len(left_out)
    pseudo_values = [lines * value - (lines - 1) * without for without in left_out]
    error = statistics.stdev(pseudo_values) / math.sqrt(lines)
    reach = float(stats.t.ppf(0.975, lines - 1)) * error
    return value - reach, value + reach


def jackknife(value: float, left_out: Sequence[float]) -> tuple[float, float, float]:
    """Low, high and corrected, as Quenouille and Tukey have them, cut off at 0 and 1."""
    groups = len(left_out)
    mean = math.fsum(left_out) / groups
    error = math.sqrt((groups - 1) / groups * math.fsum((each - mean) ** 2 for each in left_out))
    reach = float(stats.t.ppf(0.975, groups - 1)) * error
    low, high, corrected = np.clip((value - reach, value + reach, groups * value - (groups - 1) * mean), 0, 1).tolist()
    return low, high, corrected


def line_jackknife(
    value: float, without: Callable[[list[int]], float], lines: int, first: int | None = None
) -> tuple[float, float, float]:
    """Low, high and corrected of a score that is computed from lines; interactions of lines are counted once.

    `without` scores all lines but those of the given numbers. Interactions come from 40 blocks of the `first` lines
    (default: all), line i in block i modulo 40, and their pairs b and b + 20, by NumPy's least squares. Fewer than 40
    lines have plain intervals.
    """
    left_out = [without([line]) for line in range(lines)]
    low, high = pseudo_value_interval(value, left_out)
    if lines >= 40:
        one, two = (
            [without(list(range(block, first or lines, count))) for block in range(count)] for count in (40, 20)
        )
        design = np.stack([np.ones(20), np.array(one[:20]) + np.array(one[20:])], axis=1)
        residual = np.array(two) - design @ np.linalg.lstsq(design, np.array(two), rcond=None)[0]
        blocks = 40 * lines / (first or lines)
        plain = (blocks - 1) ** 2 / blocks * statistics.variance(one)
        a = blocks * (blocks - 1) * float(residual @ residual) / 18 / plain if plain else 0.0
        shrink = math.sqrt((1 - math.exp(-a)) / a) if a > 1e-9 else 1.0
        low, high = value - shrink * (value - low), value + shrink * (high - value)
    return low, high, lines * value - (lines - 1) * math.fsum(left_out) / lines


# --- networks and updates

BETA1, BETA2 = 0.5, 0.9


class PlainAdam:
    """Kingma & Ba 2014, algorithm 1, written out."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.m = [torch.zeros_like(parameter) for parameter in parameters]
        self.v = [torch.zeros_like(parameter) for parameter in parameters]
        self.t = 0

    def step(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], rate: float) -> None:
        self.t += 1
        for parameter, gradient, m, v in zip(parameters, gradients, self.m, self.v, strict=True):
            m.copy_(BETA1 * m + (1 - BETA1) * gradient)
            v.copy_(BETA2 * v + (1 - BETA2) * gradient**2)
            m_hat, v_hat = m / (1 - BETA1**self.t), v / (1 - BETA2**self.t)
            parameter.data -= rate * m_hat / (v_hat.sqrt() + 1e-8)


def normalised(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    """Batch normalisation of a training batch, written out: over images and pixels, with the biased variance."""
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(0, 2, 3), keepdim=True)
    scaled = (x - mean) / (variance + 1e-5).sqrt()
    return scaled * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]


def convolved(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    """A convolution as a sum over shifted pictures, zeros around them."""
    weight, size = w[f"{name}.weight"], x.shape[2]
    reach = weight.shape[2] // 2
    padded = F.pad(x, (reach,) * 4)
    total = w[f"{name}.bias"][:, None, None].expand(len(x), -1, size, size)
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            shifted = padded[:, :, i : i + size, j : j + size]
            total = total + torch.einsum("oc,bcij->boij", weight[:, :, i, j], shifted)
    return total
