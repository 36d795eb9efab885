import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from data.corpus import CorpusOptions, open_corpus
from eval.memorisation import main
from eval.text.memorisation import copied_lines, known_words
from eval.text.reference import ReferenceOptions, reference_record
from eval.text.words import Words, number_words, open_word_reference
from tests.helpers.commands import command_line, value_and_floor
from tests.helpers.oracles import jackknife
from tests.helpers.text import coco_lines, numbered, plain_reference, random_lines, sentences, write_lines


def plain_known(samples: Sequence[str], references: Sequence[str]) -> float:
    known = {word for line in references for word in line.split()}
    words = [word for line in samples for word in line.split()]
    return sum(word in known for word in words) / len(words) if words else 0.0


def is_copy(sample: str, references: Sequence[str], seq_len: int) -> bool:
    return any(
        sample == line or (len(sample) == seq_len < len(line) and line.startswith(sample)) for line in references
    )


def plain_copied(samples: Sequence[str], references: Sequence[str], seq_len: int) -> float:
    return sum(is_copy(sample, references, seq_len) for sample in samples) / len(samples)


@pytest.mark.fuzz
@given(sentences("abéx"), sentences("abé"), st.integers(1, 7), st.integers(0, 3))
def test_fuzz_known_words_and_copies_equal_searching(
    own: list[str], references: list[str], seq_len: int, longer: int
) -> None:
    # Some begin as a line of the reference does, at the length of cut lines and near it.
    samples = [*own, references[0][:seq_len], references[-1][: seq_len + longer - 1]]
    reference = plain_reference(references, seq_len)
    words = numbered(samples, reference)
    assert known_words(words, reference).value == pytest.approx(plain_known(samples, references), abs=1e-12)
    expected = plain_copied(samples, references, seq_len)
    assert copied_lines(words, reference).value == pytest.approx(expected, abs=1e-12)


def opened(path: Path, lines: Sequence[str], samples: Sequence[str], seq_len: int) -> float:
    reference = open_word_reference(CorpusOptions(write_lines(path, lines), seq_len=seq_len, split=False))
    return copied_lines(numbered(samples, reference), reference).value


@pytest.mark.parametrize(
    ("sample", "copied"),
    [
        ("the cat sat on a mat", True),  # a whole line, longer than seq_len
        ("the cat", True),  # its first 7 characters
        ("the ca", False),  # the same beginning, but no model of 7 characters stops there
        ("the cat ", False),
        ("the cat sat", False),
        ("a dog", True),  # a line shorter than seq_len
        ("a do", False),
        ("sat on ", False),  # 7 characters from a line's middle
        ("seven c", True),  # a line of exactly 7
        ("é猫 the c", False),
        ("é猫 the ", True),  # characters, not bytes
        ("", False),
        ("THE CAT", False),
    ],
)
def test_a_copy_is_a_line_or_the_beginning_that_a_model_of_cut_lines_sees(
    tmp_path: Path, sample: str, copied: bool
) -> None:
    lines = ["the cat sat on a mat", "a dog", "seven c", "é猫 the cat"]
    assert opened(tmp_path / "text.txt", lines, [sample], 7) == copied
    assert plain_copied([sample], lines, 7) == copied


def test_cut_lines_are_those_of_this_seq_len(tmp_path: Path) -> None:
    lines = ["the cat sat on a mat"]
    beginnings = [lines[0][:n] for n in range(21)]
    for seq_len in (3, 7, 20):
        expected = {lines[0], lines[0][:seq_len]}
        found = opened(tmp_path / "text.txt", lines, beginnings, seq_len)
        assert found == pytest.approx(len(expected) / 21, abs=1e-15)


def test_known_words_are_counted_as_often_as_they_stand() -> None:
    reference = plain_reference(["the cat", "a mat"])
    words = numbered(["the the the dog", "emu", ""], reference)
    # 3 of 5; of different words 1 of 3, as a mean over lines (3 / 4 + 0) / 2.
    assert known_words(words, reference).value == pytest.approx(3 / 5, abs=1e-15)
    nothing = known_words(numbered(["", " "], reference), reference)
    assert (nothing.value, nothing.low, nothing.high) == (0.0, None, None)


def test_the_interval_of_known_words_leaves_out_each_line() -> None:
    references, samples = random_lines(20, seed=0, alphabet="abc"), random_lines(40, seed=1, alphabet="abcxy")
    reference = plain_reference(references)
    found = known_words(numbered(samples, reference), reference)
    value = plain_known(samples, references)
    left_out = [plain_known(samples[:i] + samples[i + 1 :], references) for i in range(40)]
    low, high, _ = jackknife(value, left_out)
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-12)
    assert found.corrected is None


def test_there_is_no_interval_where_one_line_holds_every_word() -> None:
    reference = plain_reference(["a"])
    found = known_words(numbered(["a b", "", ""], reference), reference)
    assert (found.value, found.low, found.high) == (0.5, None, None)


@pytest.mark.parametrize(("copies", "count"), [(0, 1), (1, 1), (0, 30), (1, 30), (17, 30), (30, 30)])
def test_the_interval_of_copies_is_clopper_and_pearsons(copies: int, count: int) -> None:
    reference = plain_reference(["a b"])
    samples: Words = number_words(["a b"] * copies + ["b a"] * (count - copies), {"a": 1, "b": 2})
    found = copied_lines(samples, reference)
    exact = stats.binomtest(copies, count).proportion_ci(0.95, "exact")
    assert (found.value, found.low, found.high) == pytest.approx((copies / count, exact.low, exact.high), abs=1e-12)


def test_real_lines(tmp_path: Path) -> None:
    lines = coco_lines(900)
    references, new = lines[:700], lines[700:]
    samples = [*references[:30], *(line[:32] for line in references[30:60]), *(line[:31] for line in new), *new]
    reference = open_word_reference(CorpusOptions(write_lines(tmp_path / "text.txt", references), split=False))
    words = numbered(samples, reference)
    expected = plain_copied(samples, references, 32)
    assert expected >= 60 / len(samples)
    assert copied_lines(words, reference).value == pytest.approx(expected, abs=1e-12)
    assert known_words(words, reference).value == pytest.approx(plain_known(samples, references), abs=1e-12)


def test_the_command_prints_a_list_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = ["a b c d e f g h i j k l m n o p q r s t", "b a", "c"]
    samples = ["b a", "b x", references[0][:32], references[0][:31]]
    real = ["a b", "c", "x y", "z"]
    arguments = command_line(tmp_path, samples, references, real)
    assert main([*arguments, "--json"]) == 0
    known, copied = json.loads(capsys.readouterr().out)
    found = known["scores"]["known-words"]
    assert found["value"] == pytest.approx(plain_known(samples, references), abs=1e-12)
    assert found["floor"] == pytest.approx(3 / 6, abs=1e-12)
    found = copied["scores"]["copied-lines"]
    # A cut line without the space at its end is the same words, though not the same line.
    assert (found["value"], found["floor"]) == (0.75, 0.25)
    assert (known["better"], copied["better"]) == ("higher", "lower")
    assert copied["signature"].startswith("copied-lines|sym:word|len:32|ref:text.txt@")
    assert known["signature"].startswith("known-words|sym:word|ref:text.txt@")
    assert main([*arguments, "--words", "whitespace"]) == 0
    table = capsys.readouterr().out
    assert "known-words of 4 samples against text.txt (3 lines), higher is better" in table
    assert value_and_floor(table, "copied-lines") == ("0.5000", "0.2500")


def test_the_recorded_seq_len_tells_where_lines_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = write_lines(tmp_path / "text.txt", ["the cat sat on the mat"])
    samples = write_lines(tmp_path / "samples.txt", ["the cat", "the cat sat"])
    options = CorpusOptions(text, seq_len=7, split=False)
    record = reference_record(ReferenceOptions(options, ngram=4), open_corpus(options))
    (tmp_path / "reference.json").write_text(json.dumps(record), "utf-8")
    for flags, expected in (([], 0.5), (["--reference", text], 0.0)):
        assert main([samples, *flags, "--json"]) == 0
        copied = json.loads(capsys.readouterr().out)[1]
        assert copied["scores"]["copied-lines"]["value"] == expected
        assert f"|len:{32 if flags else 7}|" in copied["signature"]
