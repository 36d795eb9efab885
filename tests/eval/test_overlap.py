import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import distance

from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from data.files import write_json
from eval.overlap import main
from eval.text.cli import CharacterFlags
from eval.text.counts import count_ngrams, merge
from eval.text.line_ngrams import character_ngrams
from eval.text.overlap import _METRICS as METRICS
from eval.text.overlap import cosine, precision, recall, score
from eval.text.reference import Reference, ReferenceOptions, record_path, reference_record
from eval.text.reference_counts import count_groups
from tests.helpers.commands import chosen_reference, overlap_scores, values_of
from tests.helpers.oracles import Dictionary, as_dictionary, dictionary_counts, line_jackknife, text_dictionary
from tests.helpers.text import VOCABULARY_SIZES, counted_text, draw_lines, toy_lines


def slow_precision(samples: Dictionary, reference: Dictionary) -> float:
    return sum(count for window, count in samples.items() if window in reference) / max(samples.total(), 1)


def slow_recall(samples: Dictionary, reference: Dictionary) -> float:
    return sum(count for window, count in reference.items() if window in samples) / reference.total()


def slow_cosine(samples: Dictionary, reference: Dictionary) -> float:
    if not samples:
        return 0.0
    product = sum(count * reference[window] for window, count in samples.items())
    squares = [sum(count**2 for count in counts.values()) for counts in (samples, reference)]
    return product / math.sqrt(squares[0]) / math.sqrt(squares[1])


SLOW = {"precision": slow_precision, "recall": slow_recall, "cosine": slow_cosine}


@pytest.mark.fuzz
@given(st.data())
def test_equal_to_dictionaries(data: st.DataObject) -> None:
    base, ngram, padding = data.draw(VOCABULARY_SIZES), data.draw(st.integers(1, 8)), data.draw(st.booleans())
    samples = draw_lines(data, base, data.draw(st.integers(1, 4)), 9)
    reference = draw_lines(data, base, data.draw(st.integers(1, 4)), 9)
    # The reference holds an n-gram without padding, and some of the samples' n-grams.
    reference = np.concatenate([reference, samples[:1], np.full_like(samples[:1], base - 1)])
    fast = [character_ngrams(ids, ngram, base, padding).total() for ids in (samples, reference)]
    slow = [dictionary_counts(ids, ngram, padding) for ids in (samples, reference)]
    for name, metric in METRICS.items():
        found = metric(fast[0], fast[1])
        assert found == pytest.approx(SLOW[name](slow[0], slow[1]), abs=1e-12)
        assert 0 <= found <= 1 + 1e-12


def test_a_case_by_hand() -> None:
    # aab against abbc, single characters: {a: 2, b: 1} and {a: 1, b: 2, c: 1}.
    samples, reference = (count_ngrams(np.array([line], np.uint8), 1, 5) for line in ([2, 2, 3], [2, 3, 3, 4]))
    assert precision(samples, reference) == 1
    assert recall(samples, reference) == 3 / 4
    assert cosine(samples, reference) == pytest.approx(4 / math.sqrt(5 * 6), abs=1e-15)
    # With the roles exchanged precision is recall, and the angle is the same.
    assert precision(reference, samples) == 3 / 4
    assert recall(reference, samples) == 1
    assert cosine(reference, samples) == pytest.approx(cosine(samples, reference), abs=1e-15)
    # Known to be wrong: each different n-gram once (2/3 of the reference's characters), relative to the union (1/2).
    assert recall(samples, reference) not in (2 / 3, 1 / 2)


def test_scipys_cosine_agrees() -> None:
    random = np.random.default_rng(0)
    samples, reference = (random.integers(low, low + 6, (30, 12)).astype(np.uint8) for low in (0, 2))
    u, v = (np.bincount(ids.ravel(), minlength=8) for ids in (samples, reference))
    found = cosine(count_ngrams(samples, 1, 8), count_ngrams(reference, 1, 8))
    assert found == pytest.approx(1 - distance.cosine(u, v), abs=1e-12)
    assert found != pytest.approx(1 - distance.cosine(u > 0, v > 0), abs=1e-2)  # known to be wrong: without counts


@pytest.mark.parametrize("ngram", [1, 5, 8])
def test_the_same_lines_score_one_and_disjoint_ones_zero(ngram: int) -> None:
    random = np.random.default_rng(ngram)
    low, high = (count_ngrams(random.integers(a, a + 9, (40, 16)).astype(np.uint16), ngram, 2050) for a in (0, 1024))
    for metric in METRICS.values():
        assert metric(low, low) == pytest.approx(1, abs=1e-12)
        assert metric(low, high) == 0


@pytest.mark.parametrize("lines", [7, 47])
@pytest.mark.parametrize("padding", [True, False])
def test_left_out_groups_equal_recounting_the_other_lines(lines: int, padding: bool) -> None:
    text = counted_text(toy_lines(60, 0), 10, 4, padding)
    base = text.tokenizer.size
    ids = text.tokenizer.encode(toy_lines(lines, 1)).padded(10)
    groups = count_groups(ids, text)
    assert len(groups) == min(lines, 20)
    for n in range(1, 5):
        whole = merge(group[n] for group in groups)
        assert as_dictionary(whole, n, base) == dictionary_counts(ids, n, padding)
        for number, group in enumerate(groups):
            others = ids[[line % 20 != number for line in range(lines)]]
            assert as_dictionary(whole.minus(group[n]), n, base) == dictionary_counts(others, n, padding)


@pytest.mark.parametrize("lines", [7, 47])
@pytest.mark.parametrize("padding", [True, False])
def test_intervals_leave_out_each_line(lines: int, padding: bool) -> None:
    real = toy_lines(60, 0)
    text = counted_text(real, 10, 4, padding)
    base = text.tokenizer.size
    ids = text.tokenizer.encode(toy_lines(lines, 1)).padded(10)
    scores = score(ids, Reference(text, None, None))
    assert [found.metric for found in scores] == ["precision", "recall", "cosine"]
    for found in scores:
        slow = SLOW[found.metric]
        assert list(found.values) == [f"{found.metric}-{n}" for n in range(1, 5)]
        for n in range(1, 5):
            reference = as_dictionary(text.counts[n], n, base)
            value = slow(dictionary_counts(ids, n, padding), reference)
            estimate = found.values[f"{found.metric}-{n}"]
            assert estimate.value == pytest.approx(value, abs=1e-12)
            low, high, _ = line_jackknife(
                value,
                lambda gone: slow(dictionary_counts(np.delete(ids, gone, axis=0), n, padding), reference),  # noqa: B023
                lines,
            )
            assert (estimate.low, estimate.high) == pytest.approx(tuple(np.clip((low, high), 0, 1)), abs=1e-9)
            assert estimate.corrected is None
        assert str(found.signature).startswith(f"{found.metric}|n:4|sym:char|len:10|pad:{'in' if padding else 'out'}|")


def test_samples_without_an_ngram_score_zero_without_an_interval() -> None:
    text = counted_text(toy_lines(60, 0), 10, 3, padding=False)
    ids: NDArray[np.uint8] = np.zeros((5, 10), np.uint8)
    for found in score(ids, Reference(text, None, None)):
        assert {(value.value, value.low, value.high) for value in found.values.values()} == {(0.0, None, None)}


def test_one_line_has_no_interval() -> None:
    text = counted_text(toy_lines(60, 0), 10, 2)
    found = score(text.tokenizer.encode(["abz"]).padded(10), Reference(text, None, None))
    assert all(value.low is value.high is None for each in found for value in each.values.values())
    # a, b, z and seven times padding; the reference knows no z.
    assert found[0].values["precision-1"].value == pytest.approx(9 / 10)


@pytest.mark.parametrize("ngram", [2, 5])
def test_real_lines(lm1b_sample: Path, ngram: int) -> None:
    corpus = open_corpus(CorpusOptions(str(lm1b_sample)))
    samples, reference = corpus.held_out[:200], corpus.train[:1000]
    fast = [count_ngrams(ids, ngram, corpus.tokenizer.size) for ids in (samples, reference)]
    slow = [dictionary_counts(ids, ngram) for ids in (samples, reference)]
    for name, metric in METRICS.items():
        assert metric(fast[0], fast[1]) == pytest.approx(SLOW[name](slow[0], slow[1]), abs=1e-12)


def test_the_command_scores_a_file_against_another(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = text_file.read_text("utf-8").splitlines()
    ours = [line[::-1] if i % 3 else line for i, line in enumerate(lines[:100])]
    samples = text_file.with_name("samples.txt")
    samples.write_text("\n".join(ours), "utf-8")
    arguments = [str(samples), "--reference", str(text_file), "--ngram", "3"]
    for padding, flags in ((True, []), (False, ["--padding", "out", "--seq-len", "20"])):
        seq_len = 32 if padding else 20
        found = overlap_scores(capsys, arguments + flags)
        for n in range(1, 4):
            slow = [text_dictionary(text, n, seq_len, padding) for text in (ours, lines)]
            for name, metric in SLOW.items():
                assert found[f"{name}-{n}"]["value"] == pytest.approx(metric(*slow), abs=1e-12)
        assert len(found) == 9
        assert {estimate["floor"] for estimate in found.values()} == {None}  # no held-out text is known


def test_the_table_shows_what_the_json_holds(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = text_file.read_text("utf-8").splitlines()
    samples = text_file.with_name("samples.txt")
    samples.write_text("\n".join(lines[:50]), "utf-8")
    arguments = [str(samples), "--reference", str(text_file), "--ngram", "2", "--held-out", str(text_file)]
    found = overlap_scores(capsys, arguments)
    assert main(arguments) == 0
    table = capsys.readouterr().out
    for name in SLOW:
        assert f"{name} of 50 samples against text.txt (2,000 lines), higher is better\n\n" in table
    for name, value in found.items():
        row = f"{name} {value['value']:.4f} {value['low']:.4f} .. {value['high']:.4f}"
        (cells,) = (line.split() for line in table.splitlines() if line.startswith(f"{name} ") and " .. " in line)
        assert (cells[:5], cells[-1]) == (row.split(), f"{value['floor']:.4f}")
    assert values_of(found)["precision-2"] == 1  # every line is in the reference


def test_the_floor_is_the_score_of_held_out_text(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = text_file.read_text("utf-8").splitlines()
    samples, held_out = text_file.with_name("samples.txt"), text_file.with_name("held_out.txt")
    samples.write_text("\n".join(line[::-1] for line in lines[:60]), "utf-8")
    held_out.write_text("\n".join(f"{line[:5]} cat mat 7" for line in lines[:60]), "utf-8")
    against = ["--reference", str(text_file), "--ngram", "4"]
    found = overlap_scores(capsys, [str(samples), *against, "--held-out", str(held_out)])
    direct = values_of(overlap_scores(capsys, [str(held_out), *against]))
    assert values_of(found, "floor") == direct
    assert values_of(found) == values_of(overlap_scores(capsys, [str(samples), *against]))
    assert values_of(found) != direct

    # Of more held-out lines, as many as there are samples.
    held_out.write_text("\n".join(f"{line[:5]} cat mat {i}" for i, line in enumerate(lines[:200])), "utf-8")
    found = overlap_scores(capsys, [str(samples), *against, "--held-out", str(held_out)])
    reference = chosen_reference(
        CharacterFlags(reference=(str(text_file),), ngram=4, held_out=str(held_out)),
        samples,  # as the command's
    )
    real = reference.real_lines(60)
    assert real is not None
    chosen = text_file.with_name("chosen.txt")
    chosen.write_text("\n".join(reference.text.tokenizer.decode(real)), "utf-8")
    assert len(set(chosen.read_text("utf-8").splitlines()) & set(held_out.read_text("utf-8").splitlines())) == 60
    assert values_of(found, "floor") == values_of(overlap_scores(capsys, [str(chosen), *against]))

    # Of fewer, none.
    held_out.write_text("\n".join(lines[:59]), "utf-8")
    found = overlap_scores(capsys, [str(samples), *against, "--held-out", str(held_out)])
    assert set(values_of(found, "floor").values()) == {None}


def test_samples_of_padding_alone_are_scored_where_a_run_recorded_them(
    text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = text_file.with_name("samples.txt")
    samples.write_text("\n\n\n", "utf-8")
    with pytest.raises(InputError, match=r"samples\.txt: every line is shorter than n = 3; lower --ngram"):
        main([str(samples), "--reference", str(text_file), "--ngram", "3"])
    options = ReferenceOptions(CorpusOptions(str(text_file)), ngram=3)
    write_json(record_path(samples), reference_record(options, open_corpus(options.corpus)))
    lines = open_corpus(options.corpus).train[:]
    found = values_of(overlap_scores(capsys, [str(samples)]))
    for n in range(1, 4):
        real, nothing = dictionary_counts(lines, n), dictionary_counts(np.zeros((3, 32), np.uint8), n)
        assert found[f"precision-{n}"] == 1
        assert found[f"recall-{n}"] == pytest.approx(slow_recall(nothing, real), abs=1e-12)
        assert found[f"cosine-{n}"] == pytest.approx(slow_cosine(nothing, real), abs=1e-12)
    assert set(values_of(overlap_scores(capsys, [str(samples), "--padding", "out"])).values()) == {0}


def test_there_is_no_interval_where_one_group_holds_every_ngram() -> None:
    text = counted_text(["abcabc"] * 5, seq_len=8, ngram=3, padding=False)
    ids = text.tokenizer.encode(["abcabcxx", *["a"] * 24]).padded(text.seq_len)
    values = {name: value for found in score(ids, Reference(text, None, None)) for name, value in found.values.items()}
    assert values["precision-3"].value == pytest.approx(4 / 6)
    assert values["precision-3"].low is None
    assert values["precision-1"].low is not None
