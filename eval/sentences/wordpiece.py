"""WordPiece, the subwords of BERT (Devlin et al. 2019, arXiv 1810.04805): text to ids of a published vocabulary."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import InputError

UNKNOWN, FIRST, LAST, PADDING = "[UNK]", "[CLS]", "[SEP]", "[PAD]"

_LONGEST_WORD = 100
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


@dataclass(frozen=True)
class WordPiece:
    """A vocabulary of subwords; those that continue a word begin with ##.

    With `lower_case`, text is converted to lower case and loses its accents, as for uncased models.
    """

    ids: Mapping[str, int]
    lower_case: bool = True
    _known: dict[str, list[int]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path, lower_case: bool = True) -> "WordPiece":
        """Return the vocabulary in a `vocab.txt`, one subword per line.

        Raises:
            InputError: the file is missing, is not UTF-8, or lacks a special symbol.
        """
        try:
            words = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a vocabulary ({error}); fetch the model's folder again") from error
        ids = {word: number for number, word in enumerate(words)}
        if missing := [word for word in (UNKNOWN, FIRST, LAST, PADDING) if word not in ids]:
            raise InputError(f"{path}: lacks {missing[0]}, so it is not BERT's vocabulary; fetch it again")
        return cls(ids, lower_case)

    def encode(self, text: str, longest: int) -> list[int]:
        """Return the ids of a text between the first and the last symbol, cut to `longest` ids."""
        pieces: list[int] = []
        for word in words_of(text, self.lower_case):
            if word not in self._known:
                self._known[word] = self._pieces(word)
            pieces += self._known[word]
        return [self.ids[FIRST], *pieces[: longest - 2], self.ids[LAST]]

    def _pieces(self, word: str) -> list[int]:
        """Split a word into its longest known subwords from the left; an unknown part makes the whole word unknown."""
        unknown = [self.ids[UNKNOWN]]
        if len(word) > _LONGEST_WORD:
            return unknown
        found: list[int] = []
        start = 0
        while start < len(word):
            head = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if head + word[start:end] in self.ids), None)
            if end is None:
                return unknown
            found.append(self.ids[head + word[start:end]])
            start = end
        return found


def words_of(text: str, lower_case: bool) -> Iterator[str]:
    """Yield words and single punctuation marks and ideographs of a text, without control characters."""
    spaced = "".join(map(_spaced, text))
    if lower_case:
        decomposed = unicodedata.normalize("NFD", spaced)
        spaced = "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn").lower()
    for word in spaced.split():
        start = 0
        for position, letter in enumerate(word):
            if _is_punctuation(letter):
                if start < position:
                    yield word[start:position]
                yield letter
                start = position + 1
        if start < len(word):
            yield word[start:]


def _spaced(letter: str) -> str:
    """Return a character as BERT reads it: white space as a space, no control characters, ideographs as words."""
    if letter.isascii():
        return " " if letter in "\t\n\r " else letter if letter.isprintable() else ""
    if unicodedata.category(letter).startswith("C") or letter == "\N{REPLACEMENT CHARACTER}":
        return ""
    code = ord(letter)
    return f" {letter} " if any(low <= code <= high for low, high in _IDEOGRAPHS) else letter


def _is_punctuation(letter: str) -> bool:
    if letter.isascii():
        return letter.isprintable() and not letter.isalnum() and letter != " "
    return unicodedata.category(letter).startswith("P")
