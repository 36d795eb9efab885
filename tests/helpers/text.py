"""Lines of text, drawn and written, and references made of them."""

import gzip
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import strategies as st

from data.line_ids import Ids, Ragged
from data.tokenizers import CharTokenizer
from eval.text.counts import count_up_to
from eval.text.reference_counts import ReferenceCounts
from eval.text.words import LONGEST, WordReference, Words, line_hashes, number_words
from tests.helpers.paths import REAL_DATA

# Control characters, marks, undecodable bytes, and what shells, globs, Markdown, LaTeX and matplotlib read.
ODD_TEXT = st.text(st.sampled_from("\t\n\r\x00\x1b\x7f\x85\u2028\u202e\udcff\\'\"$`*[]{}|<>&%#_~^! -aé漢"), max_size=12)

VOCABULARY_SIZES = st.sampled_from([3, 76, 256, 2050])


def draw_lines(data: st.DataObject, base: int, rows: int, seq_len: int) -> Ids:
    """Draw ids of few symbols, so that n-grams repeat; lines may be empty, short or full, with inner padding."""
    palette = np.array(data.draw(st.lists(st.integers(0, base - 1), min_size=1, max_size=5)))
    size = rows * (seq_len + 1)
    drawn = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), np.uint8).reshape(rows, -1)
    ends = drawn[:, :1] % (2 * seq_len)
    ids = np.where(np.arange(seq_len) < ends, palette[drawn[:, 1:] % palette.size], 0)
    return ids.astype(np.uint8) if base <= 256 else ids.astype(np.uint16)


def counted_text(lines: list[str], seq_len: int, ngram: int, padding: bool = True) -> ReferenceCounts:
    tokenizer = CharTokenizer("".join(sorted(set("".join(lines)))))
    counts = count_up_to(tokenizer.encode(lines).padded(seq_len), ngram, tokenizer.size, padding)
    return ReferenceCounts("toy", "0" * 64, len(lines), seq_len, padding, tokenizer, 2048, counts)


def toy_lines(lines: int, seed: int) -> list[str]:
    """Return lines of one to twelve characters, many of them equal."""
    random = Random(seed)
    return ["".join(random.choices("abcde", (9, 4, 2, 1, 1), k=random.randint(1, 12))) for _ in range(lines)]


def sentences(alphabet: str, least: int = 1) -> st.SearchStrategy[list[str]]:
    """Draw a few lines of up to eight one-letter words; some are empty, some repeated."""
    lines = st.lists(st.text(alphabet, max_size=8).map(" ".join), min_size=least, max_size=4)
    return st.builds(lambda once, again: once + once[:again], lines, st.integers(0, 2))


def plain_reference(lines: Sequence[str], seq_len: int = 32) -> WordReference:
    """Return a reference of words that was never on disk."""
    numbers: dict[str, int] = {}
    words = number_words(lines, numbers)
    ngrams = {n: words.ngrams(n) for n in range(1, LONGEST + 1)}
    return WordReference(
        name="lines",
        sha256="0123456789abcdef",
        lines=len(lines),
        seq_len=seq_len,
        words=list(numbers),
        counts={n: found.total() for n, found in ngrams.items()},
        largest={n: found.largest() for n, found in ngrams.items()},
        lengths=np.unique(words.lengths),
        whole=np.unique(words.hashes),
        cut=np.unique(line_hashes([line[:seq_len] for line in lines if len(line) > seq_len])),
        text=Ragged(words.row, words.lengths),
        held_out=[],
    )


def numbered(samples: Sequence[str], reference: WordReference) -> Words:
    return number_words(samples, {word: number for number, word in enumerate(reference.words, start=1)})


def random_lines(count: int, seed: int, alphabet: str = "abcdef", longest: int = 9) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(list(alphabet), random.integers(0, longest + 1))) for _ in range(count)]


def without(lines: Sequence[str], group: int, groups: int) -> list[str]:
    return [line for number, line in enumerate(lines) if number % groups != group]


def coco_lines(count: int) -> list[str]:
    path = REAL_DATA / "coco" / "train.txt.gz"
    if not path.exists():
        pytest.skip(f"needs {path}")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for _, line in zip(range(count), file, strict=False)]


def short_lines() -> list[str]:
    """Return 2,000 different lines of three to six words and a number."""
    words, random = ("the", "cat", "sat", "on", "a", "mat", "é", "dog"), Random(0)
    return [" ".join(random.choices(words, k=3 + i % 4)) + f" {i}" for i in range(2000)]


def write_lines(path: Path, lines: Sequence[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)


def held_out_by_checksum(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if zlib.crc32(line.encode()) % 10 == 0]


def folder_of_parts(folder: Path) -> Path:
    """Write 32 lines to five files: of different characters, of short lines alone, packed, in a subfolder, empty."""
    (folder / "more").mkdir(parents=True)
    write_lines(folder / "a.txt", ["a cat", "the dog sat", "a cat sat on the mat", "\u00fcnder", "", "a\u2400b"] * 3)
    write_lines(folder / "b.txt", ["ox", "", "zu"])
    (folder / "c.txt.gz").write_bytes(gzip.compress(b"dogs & cats\nthe mat\n" * 5))
    write_lines(folder / "more" / "a.txt", ["\u6f22\u5b57 in a text"])
    (folder / "more" / "b.txt").touch()
    return folder
