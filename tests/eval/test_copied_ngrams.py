from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given

from data.line_ids import Ragged
from eval.text import copied_ngrams
from eval.text.copied_ngrams import longest_copies, score
from eval.text.ngram_hashes import ngram_hashes
from tests.helpers.oracles import pseudo_value_interval
from tests.helpers.text import coco_lines, numbered, plain_reference, random_lines, sentences


def plain(sample: str, references: Sequence[str]) -> int:
    """The obvious way: look for each run of words, the longest first, between spaces in the text of all lines."""
    words, text = sample.split(), "\n".join(f" {' '.join(line.split())} " for line in references)
    for n in range(min(len(words), 20), 0, -1):
        if any(f" {' '.join(words[start : start + n])} " in text for start in range(len(words) - n + 1)):
            return n
    return 0


def found(samples: Sequence[str], references: Sequence[str]) -> list[int]:
    reference = plain_reference(references)
    longest: list[int] = longest_copies(numbered(samples, reference), reference.text).tolist()
    return longest


@pytest.mark.fuzz
@given(sentences("abé猫"), sentences("abcé"))
def test_fuzz_equal_to_searching_every_line(samples: list[str], references: list[str]) -> None:
    references = [*references, "a b"]
    assert found(samples, references) == [plain(sample, references) for sample in samples]


def test_closed_forms() -> None:
    references = ["the cat sat on a mat", "a dog sat", "on on"]
    expected = {
        "the cat sat on a mat": 6,
        "the cat sat on a dog": 5,
        "a dog the cat sat": 3,
        "mat a dog": 2,  # `mat a` only across two lines
        "sat sat sat": 1,
        "the emu cat": 1,  # not the pair that is left without the emu
        "emu": 0,
        "": 0,
    }
    assert found(list(expected), references) == list(expected.values())


def test_at_most_twenty_words_are_looked_up() -> None:
    line = " ".join(f"w{i}" for i in range(40))
    assert found([line, line[:-4]], [line]) == [20, 20]
    assert found([" ".join(f"w{i}" for i in range(10, 29))], [line]) == [19]


@pytest.mark.parametrize("words", [16, 100])
def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch, words: int) -> None:
    samples, references = random_lines(30, seed=1, alphabet="abc"), random_lines(30, seed=2, alphabet="abcd")
    expected = [plain(sample, references) for sample in samples]
    assert max(expected) > 4
    for name in ("_SAMPLE_WORDS", "_REFERENCE_WORDS", "_COUNTED_LINES"):
        monkeypatch.setattr(copied_ngrams, name, words)
    assert found(samples, references) == expected


def test_hashes_of_other_ngrams_are_others() -> None:
    """All 4-grams of nine words, known to collide if words were added up, or weighted by their place alone."""
    row = np.indices((9,) * 4).reshape(4, -1).T.ravel().astype(np.uint32)
    starts = np.arange(0, row.size, 4)
    for n in range(1, 5):
        assert np.unique(ngram_hashes(row, starts, n)).size == 9**n
    assert np.unique(row.reshape(-1, 4).sum(axis=1)).size < 9**4


def test_mean_and_maximum_with_the_interval_of_each_line_left_out() -> None:
    references = random_lines(50, seed=2, alphabet="abcd")
    samples = random_lines(30, seed=1, alphabet="abc")
    reference = plain_reference(references)
    (ours,) = score(numbered(samples, reference), reference)
    each = [plain(sample, references) for sample in samples]
    mean = ours.values["copied-ngram-mean"]
    left_out = [(sum(each) - one) / 29 for one in each]
    low, high = pseudo_value_interval(sum(each) / 30, left_out)
    assert (mean.value, mean.low, mean.high) == pytest.approx((sum(each) / 30, low, high), abs=1e-12)
    assert ours.values["copied-ngram-max"].value == max(each)
    assert ours.values["copied-ngram-max"].low is None
    assert str(ours.signature).startswith("copied-ngrams|sym:word|n:20|ref:lines@")


def test_real_lines() -> None:
    lines = coco_lines(360)
    samples, references = [*lines[:60], lines[100]], lines[60:]
    expected = [plain(sample, references) for sample in samples]
    assert found(samples, references) == expected
    assert expected[-1] == min(20, len(lines[100].split()))
    assert (
        longest_copies(numbered(samples, plain_reference(["a"])), Ragged(np.zeros(0, np.uint32), np.array([0]))).max()
        == 0
    )
