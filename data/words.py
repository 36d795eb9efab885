"""Word rules: how a line is split into words; data/README.md has the table of rules.

Under `punctuation`, `'` and the typographic apostrophe both split contractions, and neither is replaced. Combining
marks and joiners stay with the character before them, so that decomposed accents, Hindi and Persian words stay whole;
composed and decomposed accents stay different.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Splitting = Literal["punctuation", "whitespace", "characters"]

_TYPOGRAPHIC = "\N{RIGHT SINGLE QUOTATION MARK}"
_CONTRACTION = f"[nN]['{_TYPOGRAPHIC}][tT]"
_MARK = "\N{LINEAR A SIGN AB001}"
"""Letter, never typed, that replaces combining marks while a line is matched: `re` counts no mark as a letter."""
_PLAIN = rf"\w+|[^\w\s]{_MARK}*"
_WITH_CONTRACTIONS = rf"{_CONTRACTION}|['{_TYPOGRAPHIC}]\w+|\w+(?={_CONTRACTION})|{_PLAIN}"
# Thai, Lao, Tibetan, Burmese, Khmer, Japanese, Chinese; Korean has spaces.
_UNSPACED = (
    "[\u0e01-\u0eff\u0f40-\u0fbc\u1000-\u109f\u1780-\u17d3\u3005-\u3007\u3041-\u312f\u31a0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U000323af]"
)
_LETTERS_PER_SPACE = 10
"""Segmented text of these scripts has a space per 2 to 5 letters, unsegmented text one per 15 or more."""


@dataclass(frozen=True)
class WordRule:
    """A rule to split a line into words, in lower case or as it is."""

    words: Splitting
    lower_case: bool = False

    @property
    def settings(self) -> dict[str, str | int]:
        """Fields of the rule in a signature."""
        return {"words": self.words, "case": "lower" if self.lower_case else "as-is"}

    def splitter(self) -> Callable[[str], tuple[str, list[str]]]:
        """Return a function from a line to its key and its words.

        Lines count as equal if their keys are: if their words are equal and, under `whitespace`, their white space too.
        """
        split = _SPLIT[self.words]

        def words_of(line: str) -> tuple[str, list[str]]:
            line = line.lower() if self.lower_case else line
            words = split(line)
            return (line if self.words == "whitespace" else " ".join(words)), words

        return words_of


WHITE_SPACE = WordRule("whitespace")
"""The rule of signatures without a word rule."""


def _split_punctuation(line: str) -> list[str]:
    pattern = _WITH_CONTRACTIONS if "'" in line or _TYPOGRAPHIC in line else _PLAIN
    if line.isascii() or _marks().keys().isdisjoint(map(ord, line)):
        return re.findall(pattern, line)
    marked = line.translate(_marks())
    return [line[match.start() : match.end()] for match in re.finditer(pattern, marked)]


@functools.cache
def _marks() -> dict[int, str]:
    """Return a translation of the code points of combining marks and joiners to the letter that replaces them."""
    # All marks are in these two ranges; a test checks it.
    codes = (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))
    marks = [code for code in codes if unicodedata.category(chr(code)).startswith("M")]
    return dict.fromkeys([*marks, *map(ord, "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}")], _MARK)


_SPLIT: dict[Splitting, Callable[[str], list[str]]] = {
    "punctuation": _split_punctuation,
    "whitespace": str.split,
    "characters": lambda line: list("".join(line.split())),
}


def is_unspaced(lines: Sequence[str]) -> bool:
    """Return whether lines are mostly in a script without spaces between words, and have hardly any spaces."""
    letters = characters = spaces = 0
    for line in lines:
        parts = line.split()
        characters += sum(map(len, parts))
        if not line.isascii():
            letters += len(re.findall(_UNSPACED, line))
            spaces += len(parts) - 1
    return letters * 2 > characters and spaces * _LETTERS_PER_SPACE < letters
