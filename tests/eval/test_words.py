import hashlib
import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.corpus import CorpusOptions
from data.errors import InputError
from eval.text import words as words_module
from eval.text.counts import NgramCounts, merge
from eval.text.line_ngrams import LineNgrams
from eval.text.samples import SampleLines
from eval.text.words import (
    LONGEST,
    WORD_BASE,
    Words,
    line_hashes,
    number_all,
    number_words,
    open_word_reference,
)
from tests.helpers.oracles import Windows, all_windows, windows
from tests.helpers.text import held_out_by_checksum, plain_reference, random_lines, write_lines


def largest_windows(lines: Iterable[str], ngram: int) -> Windows:
    largest = Windows()
    for line in lines:
        for window, count in windows(line, ngram).items():
            largest[window] = max(largest[window], count)
    return largest


def window_of(key: Any, ngram: int, words: Sequence[str]) -> tuple[str, ...]:
    """Undo the packing: a wide key is two 64-bit words, the low one holding three words of text."""
    number = int(key) if not isinstance(key, bytes) else 0
    if isinstance(key, bytes):
        wide = key.ljust(16, b"\0")
        number = int.from_bytes(wide[:8], "big") * WORD_BASE**3 + int.from_bytes(wide[8:], "big")
    window = []
    for _ in range(ngram):
        number, digit = divmod(number, WORD_BASE)
        window.append(words[digit - 1])
    return tuple(reversed(window))


def as_windows(counts: NgramCounts, ngram: int, words: Sequence[str]) -> Windows:
    keys = (window_of(key, ngram, words) for key in counts.keys)
    return Counter(dict(zip(keys, counts.counts.tolist(), strict=True)))


def lines_as_windows(found: LineNgrams, ngram: int, words: Sequence[str]) -> list[Windows]:
    keys = [window_of(key, ngram, words) for key in found.keys]
    lines = [Windows() for _ in range(found.lines)]
    for line, index, count in zip(found.line.tolist(), found.index.tolist(), found.count.tolist(), strict=True):
        assert keys[index] not in lines[line]
        lines[line][keys[index]] = count
    return lines


@pytest.mark.fuzz
@given(st.lists(st.text("aab\u00e9\u732b \t\u00a0", max_size=12), min_size=1, max_size=5), st.integers(1, 4))
def test_fuzz_words_and_their_ngrams_equal_dictionaries(lines: list[str], part_lines: int) -> None:
    numbers: dict[str, int] = {}
    words = number_words(lines, numbers)
    spoken = list(numbers)
    split = [re.findall(r"\S+", line) for line in lines]
    assert words.row.tolist() == [numbers[word] for line in split for word in line]
    assert spoken == list(dict.fromkeys(word for line in split for word in line))
    assert words.lengths.tolist() == [len(line) for line in split]
    assert len(set(words.hashes.tolist())) == len(set(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words_module, "_PART_LINES", part_lines)
        parts = list(words.parts())
    assert [part.lengths.size for part in parts[:-1]] == [part_lines] * (len(parts) - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words_module, "_PART_WORDS", part_lines)
        parts_of_words = list(words.parts())
    assert np.concatenate([part.lengths for part in parts_of_words]).tolist() == words.lengths.tolist()
    assert np.concatenate([part.row for part in parts_of_words]).tolist() == words.row.tolist()
    assert all(part.row.size <= part_lines or part.lengths.size == 1 for part in parts_of_words)
    joined = itertools.pairwise(parts_of_words)  # no part could be longer
    assert all(part.row.size + after.lengths[0] > part_lines for part, after in joined)
    for n in range(1, LONGEST + 1):
        found, expected = words.ngrams(n), [windows(line, n) for line in lines]
        total, largest = all_windows(lines, n), largest_windows(lines, n)
        assert lines_as_windows(found, n, spoken) == expected
        assert as_windows(found.total(), n, spoken) == total
        assert as_windows(found.largest(), n, spoken) == largest
        assert found.sizes.tolist() == [line.total() for line in expected]
        of_parts = [part.ngrams(n) for part in parts]
        assert as_windows(merge(part.total() for part in of_parts), n, spoken) == total
        assert as_windows(merge((part.largest() for part in of_parts), np.maximum), n, spoken) == largest


def test_words_stand_between_any_white_space_and_keep_their_numbers() -> None:
    numbers = {"cat": 1}
    words = number_words(["  the\tcat\u00a0the ", "", "\u3000", "Cat sat."], numbers)
    assert numbers == {"cat": 1, "the": 2, "Cat": 3, "sat.": 4}
    assert words.row.tolist() == [2, 1, 2, 3, 4]
    assert words.lengths.tolist() == [3, 0, 0, 2]


def test_hashes_are_the_first_64_bits_of_blake2_and_tell_white_space_apart() -> None:
    lines = ["a b", "a  b", "a b ", "", "猫", "a b"]
    expected = [
        int.from_bytes(hashlib.blake2b(line.encode("utf-8"), digest_size=8).digest(), sys.byteorder) for line in lines
    ]
    assert line_hashes(lines).tolist() == expected
    assert number_words(lines, {}).hashes.tolist() == expected
    assert len(set(expected)) == 5


def test_more_words_than_keys_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "WORD_BASE", 4)
    assert number_words(["a b c a"], {}).row.tolist() == [1, 2, 3, 1]
    with pytest.raises(InputError, match="more than 3 distinct words; lower --lines"):
        number_words(["a b c d"], {})


@pytest.mark.parametrize("ngram", range(1, LONGEST + 1))
def test_keys_of_the_largest_numbers_stay_apart(ngram: int) -> None:
    random = np.random.default_rng(ngram)
    rows = WORD_BASE - 1 - random.integers(0, 4, (200, 7)) * random.choice([1, 1 << 10, 1 << 19], (200, 7))
    found = (
        Words(rows.ravel().astype(np.uint32), np.full(200, 7), np.arange(200, dtype=np.uint64)).ngrams(ngram).total()
    )
    expected: Counter[tuple[int, ...]] = Counter()
    wrapped: Counter[int] = Counter()  # known to be wrong: keys of 64 bits overflow from n = 4 on
    for line in rows.tolist():
        for start in range(8 - ngram):
            window = tuple(line[start : start + ngram])
            expected[window] += 1
            wrapped[sum(word * WORD_BASE**power for power, word in enumerate(reversed(window))) % (1 << 64)] += 1
    # The order of keys is that of the n-grams.
    assert found.counts.tolist() == [expected[window] for window in sorted(expected)]
    assert (len(wrapped) < len(expected)) == (ngram > 3)


def test_blocks_are_numbered_as_one_text() -> None:
    lines = random_lines(50, seed=0)
    at_once, in_blocks = {"x": 1}, {"x": 1}
    expected = number_words(lines, at_once)
    found = number_all([lines[:1], lines[1:30], [], lines[30:]], in_blocks)
    assert isinstance(found.row, np.memmap)
    assert in_blocks == at_once
    for name in ("row", "lengths", "hashes"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()


@pytest.mark.parametrize("part_lines", [1 << 17, 300])
def test_a_reference_knows_what_dictionaries_know(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, part_lines: int
) -> None:
    monkeypatch.setattr(words_module, "_PART_LINES", part_lines)
    text = text_file.read_text("utf-8").splitlines()
    lines = [*text, "a a a a a a", "", "cat the", text[5], "  "]
    write_lines(text_file, lines)
    reference = open_word_reference(CorpusOptions(str(text_file), seq_len=16))
    held_out = held_out_by_checksum(lines)
    train = [line for line in lines if line not in set(held_out)]
    assert list(reference.held_out) == held_out
    assert reference.lines == len(train)
    assert reference.title == f"text.txt ({len(train):,} lines)"
    assert list(reference.words) == list(dict.fromkeys(" ".join(train).split()))
    assert reference.lengths.tolist() == sorted({len(line.split()) for line in train})
    assert reference.whole.tolist() == sorted(line_hashes(list(set(train))).tolist())
    cut = {line[:16] for line in train if len(line) > 16}
    assert reference.cut.tolist() == sorted(line_hashes(list(cut)).tolist())
    assert 0 < len(cut) < len(set(train))
    for n in range(1, LONGEST + 1):
        assert as_windows(reference.counts[n], n, reference.words) == all_windows(train, n)
        assert as_windows(reference.largest[n], n, reference.words) == largest_windows(train, n)


def test_a_reference_keeps_its_lines_and_its_hash_is_as_before(tmp_path: Path) -> None:
    lines = ["the cat sat on a mat", "a dog", "", "the cat sat"]
    reference = open_word_reference(CorpusOptions(write_lines(tmp_path / "text.txt", lines), split=False))
    assert reference.text.lengths.tolist() == [6, 2, 0, 3]
    assert [reference.words[number - 1] for number in reference.text.row] == " ".join(lines).split()
    # As printed at commit 0e0c44e, when the cache entry did not hold the lines: signatures of records have it.
    assert reference.sha256 == "65e9d3b9c7f54618b679eed7b6867e13ccba6d8398a67ef941f6611e1cd93bf4"


def test_a_last_part_too_short_for_any_ngram_does_not_widen_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words_module, "_PART_LINES", 2)
    lines = ["a b c d e f", "b c d e f", "a"]
    reference = open_word_reference(CorpusOptions(write_lines(tmp_path / "text.txt", lines), split=False))
    for n in (4, 5):
        assert as_windows(reference.counts[n], n, reference.words) == all_windows(lines, n)
        assert reference.counts[n].keys.dtype.itemsize == 16


def test_samples_get_the_references_numbers_and_new_ones_behind_them() -> None:
    reference = plain_reference(["the cat", "sat the"])
    words = reference.number(SampleLines("samples", lambda: iter([["sat dog"], ["dog the emu", ""]])))
    assert words.row.tolist() == [3, 4, 4, 1, 5]
    assert list(reference.words) == ["the", "cat", "sat"]
    again = reference.number(SampleLines("samples", lambda: iter([["emu"]])))
    assert again.row.tolist() == [4]


def test_the_second_opening_reads_the_cache(text_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = CorpusOptions(str(text_file))
    first = open_word_reference(options)
    monkeypatch.setattr(words_module, "number_all", None)  # to build again would fail
    again = open_word_reference(options)
    assert len(list(cache.glob("words/*"))) == 1
    assert isinstance(again.counts[5].keys, np.memmap)
    for n in range(1, LONGEST + 1):
        assert as_windows(again.counts[n], n, again.words) == as_windows(first.counts[n], n, first.words)
    assert (again.sha256, again.lines, again.held_out) == (first.sha256, first.lines, first.held_out)


@pytest.mark.parametrize("damaged", ["2.largest.npy", "words.json", "cut.npy"])
def test_a_truncated_entry_is_built_again_and_said(
    text_file: Path, cache: Path, capsys: pytest.CaptureFixture[str], damaged: str
) -> None:
    options = CorpusOptions(str(text_file), split=False)
    sha256 = open_word_reference(options).sha256
    assert capsys.readouterr().err == ""
    (path,) = cache.glob(f"words/*/{damaged}")
    path.write_bytes(path.read_bytes()[:-8])
    again = open_word_reference(options)
    lines = text_file.read_text("utf-8").splitlines()
    assert as_windows(again.largest[2], 2, again.words) == largest_windows(lines, 2)
    assert again.sha256 == sha256
    said = capsys.readouterr().err
    assert said.count("damaged cache entry") == 1
    assert f"{damaged} is not as it was written" in said
    open_word_reference(options)
    assert capsys.readouterr().err == ""


def test_other_options_or_another_text_are_other_entries(text_file: Path, cache: Path) -> None:
    path = str(text_file)
    choices = [
        CorpusOptions(path, split=False),
        CorpusOptions(path, split=False, seq_len=8),
        CorpusOptions(path, split=False, lines=100),
        CorpusOptions(path),
    ]
    lines = text_file.read_text("utf-8").splitlines()
    for _ in range(2):  # built, then read
        whole, cut, few, split = map(open_word_reference, choices)
        assert [each.lines for each in (whole, cut, few)] == [2000, 2000, 100]
        assert split.lines == 2000 - len(held_out_by_checksum(lines))
        assert [each.seq_len for each in (whole, cut)] == [32, 8]
        assert (whole.cut.size, cut.cut.size) == (0, len({line[:8] for line in lines if len(line) > 8}))
        assert as_windows(few.counts[1], 1, few.words) == all_windows(lines[:100], 1)
    assert len(list(cache.glob("words/*"))) == 4
    # The character vocabulary's size is no matter to words.
    open_word_reference(CorpusOptions(path, split=False, vocabulary_size=64))
    assert len(list(cache.glob("words/*"))) == 4
    write_lines(text_file, [*lines, "one more"])
    assert open_word_reference(choices[0]).lines == 2001
    assert len(list(cache.glob("words/*"))) == 5


@pytest.mark.parametrize(("content", "message"), [("", "text.txt: no"), ("\n \n\n", "text.txt: no words")])
def test_a_reference_without_words_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "text.txt"
    path.write_text(content, "utf-8")
    with pytest.raises(InputError, match=message):
        open_word_reference(CorpusOptions(str(path), split=False))
