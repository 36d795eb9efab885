"""Score lines from Python: values, intervals and signatures of the text commands, for lists, generators and open files.

Each text command has a function `score_lines`, as in `from eval.bleu import score_lines`. Settings have the names and
defaults of the command's flags, except for `reference_lines`, which is the flag --lines. Errors name the flag.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from data.errors import InputError, require_choices, require_numbers
from data.inputs import expand_user
from data.sources import require_different_sources
from data.words import Splitting
from eval.core.score import Score
from eval.text.cli import CharacterFlags, ReferenceFlags, WordFlags, chosen_text
from eval.text.metrics import METRICS, require_metrics, score_samples
from eval.text.samples import SampleLines

Text = str | Path | Iterable[str]
"""Real text: a name or path as --reference takes it, a path, or lines."""

_BLOCK = 1 << 16
_NO_LINE = re.compile("[\n\r\0\ud800-\udfff]")


@dataclass(frozen=True)
class CharacterScorer:
    """A function that scores lines by one character metric, as the command of the metric does."""

    metric: str

    def __call__(
        self,
        lines: Iterable[str],
        reference: Text = "grammar",
        ngram: int | None = None,
        *,
        seq_len: int | None = None,
        padding: Literal["in", "out"] | None = None,
        held_out: Text | None = None,
        reference_lines: int | None = None,
    ) -> list[Score]:
        """Return the scores of samples against real text.

        Args:
            lines: samples, one line each; see `score_given`.
            reference: real text.
            ngram: longest n-gram, in characters. Default: 6, or the longest in saved counts.
            seq_len: characters per line. Default: 32, or as in saved counts.
            padding: whether n-grams with padding count. Default: in, or as in saved counts.
            held_out: real text for the floor. Default: held-out lines of the reference.
            reference_lines: maximum number of reference lines.

        Raises:
            InputError: lines or real text cannot be used, or a setting is impossible.
        """
        flags = CharacterFlags(ngram=ngram, seq_len=seq_len, padding=padding, lines=reference_lines)
        return score_given([self.metric], lines, reference, held_out, flags)


@dataclass(frozen=True)
class WordScorer:
    """A function that scores lines by one word metric, as the command of the metric does."""

    metric: str

    def __call__(
        self,
        lines: Iterable[str],
        reference: Text = "grammar",
        *,
        words: Splitting = "punctuation",
        lower_case: bool = False,
        held_out: Text | None = None,
        reference_lines: int | None = None,
    ) -> list[Score]:
        """Return the scores of samples against real text.

        Args:
            lines: samples, one line each; see `score_given`.
            reference: real text.
            words: how lines are split into words.
            lower_case: whether samples and real text are converted to lower case.
            held_out: real text for the floor. Default: held-out lines of the reference.
            reference_lines: maximum number of reference lines.

        Raises:
            InputError: lines or real text cannot be used, or a setting is impossible.
        """
        flags = WordFlags(words=words, lower_case=lower_case, lines=reference_lines)
        return score_given([self.metric], lines, reference, held_out, flags)


def score_given(
    metrics: Sequence[str], lines: Iterable[str], reference: Text, held_out: Text | None, flags: ReferenceFlags
) -> list[Score]:
    """Score lines by the named metrics, or by all that suit the reference if none is named.

    Values and signatures equal the command's for text files of these lines, named `lines`. A line feed at the end of a
    line, as in an open file, is dropped; any other line break is refused.

    Args:
        metrics: names from `METRICS`.
        lines: samples, read once.
        reference: real text. Lines are counted once and cached, like a file.
        held_out: real text for the floor, None for the flags' default.
        flags: all other settings.

    Raises:
        InputError: there are no lines, an item is no line of a text file, real text cannot be read, or a setting is
            impossible.
    """
    require_metrics(metrics)
    samples = _kept(lines, "lines")
    if not samples:
        raise InputError("lines: empty; give at least one sample")
    with TemporaryDirectory() as folder:
        named = replace(
            flags,
            reference=(_named(reference, Path(folder, "reference")),),
            held_out=None if held_out is None else _named(held_out, Path(folder, "held_out")),
        )
        require_numbers(named)
        require_choices(named)
        require_different_sources(*named.reference, named.held_out)
        real = chosen_text(named, Path(), metrics or METRICS)
    blocks = SampleLines("lines", lambda: (samples[i : i + _BLOCK] for i in range(0, len(samples), _BLOCK)))
    return score_samples(blocks, metrics or real.metrics(), real)


def _named(text: Text, folder: Path) -> str:
    """Return a text as --reference names it; lines are written to a file `lines` in the folder."""
    if isinstance(text, str):
        return text
    if isinstance(text, Path):
        return str(expand_user(text).absolute())  # a file `grammar` is not the embedded text
    folder.mkdir()
    path = folder / "lines"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in _kept(text, folder.name))
    return str(path)


def _kept(lines: Iterable[str], name: str) -> list[str]:
    """Return the lines that a text file made of `lines` would have.

    Raises:
        InputError: `lines` is one text, or an item is no line of a text file; gives `name` and the item's number.
    """
    if isinstance(lines, str | bytes | Path):
        raise InputError(f"{name}: one {type(lines).__name__}, not lines; give a list of str, one per line")
    kept: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not isinstance(line, str):
            raise InputError(f"{name}: line {number} is {type(line).__name__}, not str; give text")
        line = line.removesuffix("\n")
        if found := _NO_LINE.search(line):
            raise InputError(f"{name}: line {number} holds {found[0]!r}, as no line of a text does; replace it")
        kept.append(line if kept else line.removeprefix("\ufeff"))  # a byte order mark, as in files
    return kept
