import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from scipy.spatial.distance import jensenshannon

from eval.text.jsd import score_words as score
from tests.helpers.commands import command_line, jsd_of_words, value_and_floor
from tests.helpers.oracles import Windows, all_windows, line_jackknife
from tests.helpers.text import coco_lines, numbered, plain_reference, random_lines, sentences


def dictionary_jsd(p_counts: Windows, q_counts: Windows) -> float:
    """The obvious way: both divergences to the mixture, summed over the union of the supports, in bits."""
    p_total, q_total = p_counts.total(), q_counts.total()
    if not p_total or not q_total:
        return 1.0
    terms = []
    for window in p_counts.keys() | q_counts.keys():
        p, q = p_counts[window] / p_total, q_counts[window] / q_total
        terms += [x * math.log2(2 * x / (p + q)) for x in (p, q) if x > 0]
    return math.fsum(terms) / 2


def plain_jsd(samples: Sequence[str], references: Sequence[str], ngram: int) -> float:
    return dictionary_jsd(all_windows(samples, ngram), all_windows(references, ngram))


def scored(samples: Sequence[str], references: Sequence[str]) -> dict[int, float]:
    reference = plain_reference(references)
    (found,) = score(numbered(samples, reference), reference)
    return {n: found.values[f"word-jsd-{n}"].value for n in range(1, 5)}


@pytest.mark.fuzz
@given(sentences("abéx"), sentences("abé猫"))
def test_fuzz_equal_to_dictionaries(samples: list[str], own: list[str]) -> None:
    references = [*own, "a"]  # a reference has words
    found = scored(samples, references)
    for n in range(1, 5):
        assert found[n] == pytest.approx(plain_jsd(samples, references, n), abs=1e-12)
        assert -1e-15 <= found[n] <= 1 + 1e-15


def test_scipy_agrees() -> None:
    samples, references = random_lines(40, seed=0, alphabet="abcdx"), random_lines(60, seed=1, alphabet="abcdy")
    found = scored(samples, references)
    for n in range(1, 5):
        counts = [all_windows(lines, n) for lines in (samples, references)]
        union = sorted(counts[0].keys() | counts[1].keys())
        p, q = (np.array([each[window] for window in union]) for each in counts)
        assert found[n] == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-12)


def test_closed_form() -> None:
    # P = (1, 0), Q = (1/2, 1/2): JSD = (log2(4/3) + log2(2/3) / 2 + log2(2) / 2) / 2; no bigram is shared.
    found = scored(["a a"], ["a b", "b a"])
    assert found[1] == pytest.approx((math.log2(4 / 3) + math.log2(2 / 3) / 2 + 1 / 2) / 2, abs=1e-15)
    assert found[2] == 1.0


def test_identical_lines_score_zero_and_disjoint_ones_one() -> None:
    lines = random_lines(50, seed=2)
    assert list(scored(lines, lines).values()) == pytest.approx([0.0] * 4, abs=1e-12)
    assert list(scored(["x y z x y"], lines).values()) == pytest.approx([1.0] * 4, abs=1e-12)


def test_ngrams_do_not_cross_lines_and_lines_are_not_padded() -> None:
    found = scored(["a b", "a b"], ["b a b a", "a b"])
    # Bigrams: (ab) against (ba, ab, ba, ab); joined lines would hold (ba) too. No trigrams.
    expected = (math.log2(4 / 3) + math.log2(2 / 3) / 2 + 1 / 2) / 2
    assert found[2] == pytest.approx(expected, abs=1e-15)
    assert plain_jsd(["a b a b"], ["b a b a a b"], 2) != pytest.approx(expected, abs=1e-3)
    assert found[3] == found[4] == 1.0


def test_a_reference_without_ngrams_so_long_shares_nothing() -> None:
    found = scored(["a b c d", "b c"], ["a b", "b c"])
    assert found[3] == found[4] == 1.0
    assert found[2] == pytest.approx(plain_jsd(["a b c d", "b c"], ["a b", "b c"], 2), abs=1e-15)


@pytest.mark.parametrize("lines", [7, 60])
def test_interval_and_correction_leave_out_each_line(lines: int) -> None:
    references, samples = random_lines(200, seed=3, alphabet="abcde"), random_lines(lines, seed=lines)
    reference = plain_reference(references)
    (ours,) = score(numbered(samples, reference), reference)
    for n in range(1, 5):
        value = plain_jsd(samples, references, n)

        def left(gone: list[int], n: int = n) -> float:
            return plain_jsd([line for i, line in enumerate(samples) if i not in gone], references, n)

        found = ours.values[f"word-jsd-{n}"]
        assert (found.value, found.low, found.high, found.corrected) == pytest.approx(
            (value, *np.clip(line_jackknife(value, left, lines), 0, 1)), abs=1e-11
        )


def test_there_is_no_interval_where_one_line_holds_every_ngram() -> None:
    reference = plain_reference(["a b c d", "b c d"])
    (ours,) = score(numbered(["a b c d", "b"], reference), reference)
    low = {n: ours.values[f"word-jsd-{n}"].low for n in range(1, 5)}
    assert low[1] is not None
    assert low[2] is low[3] is low[4] is None
    assert ours.values["word-jsd-4"].value == pytest.approx(0.0, abs=1e-15)


def test_real_lines() -> None:
    lines = coco_lines(3000)
    samples, references = lines[:300], lines[300:]
    found = scored(samples, references)
    for n in range(1, 5):
        assert found[n] == pytest.approx(plain_jsd(samples, references, n), abs=1e-12)


def test_the_command_prints_a_list_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references, samples, real = random_lines(80, seed=4), random_lines(30, seed=5), random_lines(30, seed=6)
    arguments = command_line(tmp_path, samples, references, real)
    assert jsd_of_words([*arguments, "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    assert list(printed["scores"]) == [f"word-jsd-{n}" for n in range(1, 5)]
    for n, found in enumerate(printed["scores"].values(), start=1):
        assert found["value"] == pytest.approx(plain_jsd(samples, references, n), abs=1e-12)
        assert found["floor"] == pytest.approx(plain_jsd(real, references, n), abs=1e-12)
    assert (printed["unit"], printed["better"], printed["samples"]) == ("bits", "lower", 30)
    assert printed["signature"].startswith("word-jsd|sym:word|n:4|ref:text.txt@")
    assert jsd_of_words([*arguments, "--lines", "20"]) == 0
    table = capsys.readouterr().out
    assert "word-jsd of 30 samples against text.txt (20 lines), lower is better" in table
    for n in range(1, 5):
        value, floor = (plain_jsd(lines, references[:20], n) for lines in (samples, real))
        assert value_and_floor(table, f"word-jsd-{n}") == (f"{value:.4f}", f"{floor:.4f}")
