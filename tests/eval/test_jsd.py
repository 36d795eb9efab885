import gzip
import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon

from data.corpus import CorpusOptions
from data.errors import InputError
from data.line_ids import Ids
from eval.jsd import main, score_lines
from eval.ngram_sampler import sample_ngram_model
from eval.text.counts import count_ngrams
from eval.text.jsd import (
    estimate_ids,
    floor_ids,
    jsd,
    jsd_left_out,
    jsd_taken_out,
    score_ids,
    signature,
)
from eval.text.jsd import (
    score as compare,
)
from eval.text.line_ngrams import character_ngrams
from eval.text.reference import Reference, ReferenceOptions, open_reference
from tests.helpers.oracles import Dictionary, dictionary_counts


def dictionary_jsd(p_counts: Dictionary, q_counts: Dictionary) -> float:
    """The obvious way: both divergences to the mixture, summed over the union of the supports, in bits."""
    p_total, q_total = sum(p_counts.values()), sum(q_counts.values())
    terms = []
    for window in p_counts.keys() | q_counts.keys():
        p, q = p_counts[window] / p_total, q_counts[window] / q_total
        mixture = (p + q) / 2
        terms += [x * math.log(x / mixture) for x in (p, q) if x > 0]
    return math.fsum(terms) / 2 / math.log(2)


def both_ways(samples: Ids, reference: Ids, ngram: int, base: int, padding: bool = True) -> tuple[float, float]:
    fast = jsd(count_ngrams(samples, ngram, base, padding), count_ngrams(reference, ngram, base, padding))
    slow = dictionary_jsd(dictionary_counts(samples, ngram, padding), dictionary_counts(reference, ngram, padding))
    return fast, slow


@pytest.mark.fuzz
@given(st.data())
def test_equal_to_a_dictionary(data: st.DataObject) -> None:
    base, ngram = data.draw(st.sampled_from([2, 3, 5, 76, 2050])), data.draw(st.integers(1, 8))
    symbols = st.integers(0, data.draw(st.integers(1, base - 1)))
    samples, reference = (
        data.draw(arrays(np.uint16, (data.draw(st.integers(1, 8)), 9), elements=symbols)) for _ in range(2)
    )
    fast, slow = both_ways(samples, reference, ngram, base)
    assert fast == pytest.approx(slow, abs=1e-12)
    assert 0 <= fast <= 1


@pytest.mark.parametrize("ngram", range(1, 9))
def test_identical_lines_score_zero_and_disjoint_ones_one(ngram: int) -> None:
    random = np.random.default_rng(ngram)
    low, high = (random.integers(a, a + 1024, (40, 16)).astype(np.uint16) for a in (0, 1024))
    assert both_ways(low, low, ngram, 2050) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert both_ways(low, high, ngram, 2050) == pytest.approx((1.0, 1.0), abs=1e-12)


LINES = arrays(np.uint16, st.tuples(st.integers(1, 40), st.just(6)), elements=st.integers(0, 9))


@pytest.mark.fuzz
@given(LINES, LINES, st.integers(1, 4), st.integers(1, 3))
def test_rounding_never_leaves_the_range(ids: Ids, others: Ids, ngram: int, copies: int) -> None:
    ours = count_ngrams(ids, ngram, 10)
    assert repr(jsd(ours, count_ngrams(np.tile(ids, (copies, 1)), ngram, 10))) == "0.0"
    for lines in (others, others + np.uint16(10)):  # the latter have nothing in common with them
        samples, reference = (count_ngrams(each, ngram, 20) for each in (ids, lines))
        left_out = jsd_left_out(samples, reference, [character_ngrams(ids, ngram, 20, padding=True)])
        assert 0 <= jsd(samples, reference) <= 1
        assert ((left_out >= 0) & (left_out <= 1)).all()


def test_a_single_symbol() -> None:
    ones = np.ones((3, 8), np.uint8)
    assert both_ways(ones, ones, 8, 2) == (0.0, 0.0)


def test_closed_form() -> None:
    # P = (1, 0), Q = (1/2, 1/2): M = (3/4, 1/4), JSD = (log2(4/3) + log2(2/3) / 2 + log2(2) / 2) / 2.
    samples, reference = np.array([[1, 1]]), np.array([[1, 0]])
    expected = (math.log2(4 / 3) + math.log2(2 / 3) / 2 + 1 / 2) / 2
    assert both_ways(samples.astype(np.uint8), reference.astype(np.uint8), 1, 2)[0] == pytest.approx(
        expected, abs=1e-15
    )


def test_scipy_agrees() -> None:
    random = np.random.default_rng(0)
    samples, reference = (random.integers(0, 6, (30, 12)).astype(np.uint8) for _ in range(2))
    p, q = (np.bincount(ids.ravel(), minlength=6) for ids in (samples, reference))
    assert both_ways(samples, reference, 1, 6)[0] == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-12)


@pytest.mark.parametrize("padding", [True, False])
def test_real_lines(lm1b_sample: Path, padding: bool) -> None:
    reference = open_reference(ReferenceOptions(CorpusOptions(str(lm1b_sample)), ngram=6, padding=padding))
    assert reference.train is not None
    held_out = reference.real_lines(640)
    assert held_out is not None
    for ngram in range(1, 9):
        fast, slow = both_ways(held_out, reference.train[:3000], ngram, reference.text.tokenizer.size, padding)
        assert fast == pytest.approx(slow, abs=1e-12)


def test_the_floor_of_real_text(lm1b_sample: Path) -> None:
    # Measured independently on these lines: 640 real ones against 12,216 score 0.252 and 0.607 (n = 4, 6).
    with gzip.open(lm1b_sample, "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    floor = floor_ids(open_reference(ReferenceOptions(CorpusOptions(str(lm1b_sample), split=False))), 640)
    assert floor is not None
    assert floor[4] == pytest.approx(0.252, abs=0.003)
    assert floor[6] == pytest.approx(0.607, abs=0.003)
    assert len(lines) == 12_216


def test_lines_taken_out_are_scored_against_the_others() -> None:
    lines = np.random.default_rng(0).integers(0, 4, (60, 10)).astype(np.uint8)
    taken, others = lines[:20], lines[20:]
    counts = [count_ngrams(ids, 3, 4) for ids in (taken, lines)]
    expected = dictionary_jsd(dictionary_counts(taken, 3), dictionary_counts(others, 3))
    assert jsd_taken_out(*counts) == pytest.approx(expected, abs=1e-12)


def test_samples_without_any_ngram_share_nothing() -> None:
    padding = np.zeros((5, 8), np.uint8)
    assert jsd(count_ngrams(padding, 2, 4, padding=False), count_ngrams(padding + 1, 2, 4)) == 1.0


def open_text(path: Path, split: bool) -> Reference:
    return open_reference(ReferenceOptions(CorpusOptions(str(path), split=split), ngram=4))


def test_taken_out_lines_that_hold_no_ngram_or_all_share_nothing_with_the_others() -> None:
    lines = np.array([[1, 2, 3], [2, 3, 0]], np.uint8)
    nothing, part, everything = (count_ngrams(ids, 3, 4, padding=False) for ids in (lines[1:], lines[:1], lines))
    assert jsd_taken_out(nothing, everything) == 1.0
    assert jsd_taken_out(part, everything) == 1.0


def test_there_is_no_floor_from_too_few_lines(text_file: Path) -> None:
    with_split = open_text(text_file, split=True)
    assert with_split.held_out is not None
    held_out = len(with_split.held_out)
    assert floor_ids(with_split, held_out) is not None
    assert floor_ids(with_split, held_out + 1) is None
    whole = open_text(text_file, split=False)
    assert floor_ids(whole, 200) is not None
    assert floor_ids(whole, 201) is None  # more than a tenth taken out would leave another reference


def test_the_signature_holds_all_a_score_depends_on(text_file: Path) -> None:
    text = open_text(text_file, split=False).text
    assert (
        str(signature(text, 640)) == f"jsd|n:4|sym:char|len:32|pad:in|ref:text.txt@{text.sha256[:12]}|samples:640|v:1"
    )


@pytest.mark.fuzz
@given(st.data())
def test_leaving_a_line_out_equals_scoring_the_others(data: st.DataObject) -> None:
    base, ngram, padding = (
        data.draw(st.sampled_from([3, 5, 2050])),
        data.draw(st.integers(1, 6)),
        data.draw(st.booleans()),
    )
    symbols = st.integers(0, min(base - 1, 4))
    samples, reference = (
        data.draw(arrays(np.uint16, (data.draw(st.integers(2, 6)), 8), elements=symbols)) for _ in range(2)
    )
    samples[:, 0], reference[:, :] = 1, np.maximum(reference, 1)
    counts, real = count_ngrams(samples, ngram, base, padding), count_ngrams(reference, ngram, base, padding)
    cut = data.draw(st.integers(1, len(samples)))
    chunks = [character_ngrams(part, ngram, base, padding) for part in np.split(samples, [cut]) if len(part)]
    ours = jsd_left_out(counts, real, chunks)
    others = [np.delete(samples, line, axis=0) for line in range(len(samples))]
    if any(not dictionary_counts(kept, ngram, padding) for kept in others):
        assert not ours.size
        return
    expected = dictionary_counts(reference, ngram, padding)
    slow = [dictionary_jsd(dictionary_counts(kept, ngram, padding), expected) for kept in others]
    assert ours == pytest.approx(slow, abs=1e-12)


@pytest.fixture(scope="module")
def grammar_source(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGAN_CACHE", str(tmp_path_factory.mktemp("grammar")))
        return open_reference(ReferenceOptions(CorpusOptions("grammar", split=False)))


def draw(source: Reference, lines: int, random: np.random.Generator) -> Ids:
    """Lines of an imperfect source: a 3-gram model of the grammar."""
    assert source.train is not None
    starts = source.train[random.integers(len(source.train), size=lines)]
    return sample_ngram_model(source.text, 3, starts, random)


def test_the_interval_covers_the_expected_score_and_a_bootstrap_does_not(grammar_source: Reference) -> None:
    random = np.random.default_rng(0)
    drawn = [draw(grammar_source, 640, random) for _ in range(100)]
    estimates = [estimate_ids(ids, grammar_source) for ids in drawn]
    resampled = [
        [score_ids(ids[random.integers(640, size=640)], grammar_source.text) for _ in range(20)] for ids in drawn[:6]
    ]
    for n in (4, 6):
        expected = float(np.mean([found[n].value for found in estimates]))
        intervals = [(found[n].low or 1.0, found[n].high or 0.0) for found in estimates]
        assert 90 <= sum(low <= expected <= high for low, high in intervals) <= 98
        # Resampled lines repeat each other's n-grams, which makes samples look worse than they are.
        bootstrapped = [np.quantile([score[n] for score in scores], [0.025, 0.975]) for scores in resampled]
        assert not any(low <= expected <= high for low, high in bootstrapped)


def test_the_corrected_score_is_closer_to_that_of_endless_samples(grammar_source: Reference) -> None:
    random = np.random.default_rng(1)
    endless = score_ids(draw(grammar_source, 300_000, random), grammar_source.text)
    found = estimate_ids(draw(grammar_source, 640, random), grammar_source)
    for n in range(2, 7):
        corrected = found[n].corrected
        assert corrected is not None
        assert endless[n] < corrected < found[n].value
        assert corrected - endless[n] < 0.75 * (found[n].value - endless[n])


def test_the_command_scores_a_file_against_another(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = text_file.read_text("utf-8").splitlines()
    samples = text_file.with_name("samples.txt")
    samples.write_text("\n".join(lines[:200]), "utf-8")
    assert main([str(samples), "--reference", str(text_file), "--ngram", "3", "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    assert printed["metric"] == "jsd"
    assert printed["samples"] == 200
    characters: list[Dictionary] = []
    for text in (lines[:200], lines):
        counts: Dictionary = Counter()
        for line in text:
            padded = [ord(character) for character in line[:32]] + [-1] * (32 - len(line))
            counts.update(tuple(padded[i : i + 3]) for i in range(30))
        characters.append(counts)
    assert list(printed["scores"]) == ["jsd-1", "jsd-2", "jsd-3"]
    score = printed["scores"]["jsd-3"]
    assert score["value"] == pytest.approx(dictionary_jsd(*characters), abs=1e-12)
    assert score["low"] < score["value"] < score["high"]
    assert score["floor"] > score["value"]  # the same text, but taken out of the reference
    assert "ref:text.txt@" in printed["signature"]


def test_the_curve_scores_ever_more_samples(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = text_file.with_name("samples.txt")
    samples.write_text("\n".join(text_file.read_text("utf-8").splitlines()[:50]), "utf-8")
    assert main([str(samples), "--reference", str(text_file), "--ngram", "2", "--curve", "--json"]) == 0
    curve = json.loads(capsys.readouterr().out)
    assert [point["samples"] for point in curve] == [10, 20, 40, 50]
    assert main([str(samples), "--reference", str(text_file), "--ngram", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == curve[-1:]
    values = [point["scores"]["jsd-2"]["value"] for point in curve]
    assert values == sorted(values, reverse=True)


def test_held_out_text_can_be_given(text_file: Path) -> None:
    reference = open_text(text_file, split=False)
    ids = reference.reference_lines(100)
    assert ids is not None
    (score,) = compare(ids, replace(reference, held_out=ids))
    (own,) = compare(ids, reference)
    for name, value in score.values.items():
        assert value.floor == value.value  # the same lines; taken out of the reference they score worse
        floor = own.values[name].floor
        assert floor is not None and floor > value.value


def test_a_table_names_reference_floor_and_signature(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(text_file), "--reference", str(text_file), "--ngram", "2"]) == 0
    printed = capsys.readouterr().out
    assert "jsd of 2,000 samples against text.txt (2,000 lines), lower is better" in printed
    assert "jsd-2  0.0000" in printed
    assert "floor" not in printed


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        ("", [], "is empty"),
        ("ab\ncd\n", [], "every line is shorter than n = 6"),
        ("abcdef\n", ["--ngram", "0"], "--ngram 0"),
        ("abcdef\n", ["--seq-len", "4"], "allows n from 1 to 4"),
        ("abcdef\n", ["--seq-len", "-1"], "--seq-len -1: must be at least 1"),
        ("abcdef\n", ["--lines", "0"], "--lines 0: must be at least 1"),
        ("abcdef\n", ["--held-out", "empty.txt"], "empty.txt: no lines"),
        ("abcdef\n", ["--reference", "nowhere.txt"], "nowhere.txt: no such file"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch, content: str, flags: list[str], message: str
) -> None:
    samples = tmp_path / "samples.txt"
    samples.write_text(content, "utf-8")
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").touch()
    with pytest.raises(InputError, match=message):
        main([str(samples), "--reference", str(text_file), *flags])


@pytest.mark.slow
def test_it_starts_without_torch() -> None:
    code = "import sys, eval.jsd; sys.exit('torch' in sys.modules or 'datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_it_imports_no_other_metric_and_no_subwords() -> None:
    code = "import sys, eval.jsd; print(*(name for name in sys.modules if name.startswith(('eval.text', 'data.sub'))))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    shared = "api cli counts jsd left_out line_ngrams metrics reference reference_counts samples words"
    assert sorted(found) == ["eval.text", *(f"eval.text.{name}" for name in shared.split())]


def test_lines_score_as_their_file_does(text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = text_file.read_text("utf-8").splitlines()[:40:3]
    (tmp_path / "samples.txt").write_text("\n".join(lines) + "\n", "utf-8")
    assert main([str(tmp_path / "samples.txt"), "--reference", str(text_file), "--ngram", "4", "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    (score,) = score_lines(iter(lines), str(text_file), 4)
    assert json.loads(json.dumps(score.as_json())) == printed
    with pytest.raises(InputError, match="lines: empty; give at least one sample"):
        score_lines([], str(text_file))
