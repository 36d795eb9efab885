"""Scores of sentence features: shifts, equal sets, a double loop; the language model; the report."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from data.corpus import CorpusOptions
from data.errors import InputError
from data.words import WHITE_SPACE, WordRule
from eval.report import main
from eval.sentences import language_model
from eval.sentences.batches import Encoder
from eval.sentences.language_model import LanguageModel, LmSettings, open_language_model, train
from eval.sentences.real_lines import RealLines, open_real_lines
from eval.sentences.scores import FeatureReference, Features, score_features
from tests.helpers.text import write_lines

TINY = LmSettings(words=4, length=5, width=6, iterations=3, batch_size=8)
LINES = ["a cat sat", "the dog ran off and on", "", "a dog", "the cat sat on the dog"] * 3
PLAIN_METRICS = ("sentence-frechet", "sentence-kid", "sentence-precision-recall")


def drawn(lines: int, seed: int, dims: int = 5) -> Features:
    return np.random.default_rng(seed).normal(1, 2, (lines, dims)).astype(np.float32)


def reference_of(features: Features) -> FeatureReference:
    real = RealLines.of([f"line {number}" for number in range(len(features))])
    return FeatureReference(real, Encoder("drawn", lambda _lines: features), features)


def values(samples: Features, reference: Features, *metrics: str) -> dict[str, float]:
    found = score_features(samples, metrics or PLAIN_METRICS, reference_of(reference))
    return {name: value.value for score in found for name, value in score.values.items()}


def test_a_shift_adds_its_squared_length() -> None:
    features, shift = drawn(200, 0), np.array([3, 0, -4, 0, 12], np.float32)
    assert values(features + shift, features, "sentence-frechet") == {"sentence-frechet": pytest.approx(169, rel=1e-5)}


def test_equal_sets() -> None:
    features = drawn(50, 1)
    found = values(features, features, *PLAIN_METRICS, "mauve")
    assert found["sentence-frechet"] == pytest.approx(0, abs=1e-6)
    assert found["sentence-precision"] == found["sentence-recall"] == 1
    assert (found["mauve"], found["frontier-integral"]) == pytest.approx((1, 0), abs=1e-6)
    assert found["mauve-seed-sd"] == pytest.approx(0, abs=1e-6)


def slow_kernel_distance(samples: Features, real: Features, scale: float) -> float:
    """Pair by pair, in thousandths."""

    def kernel(x: Features, y: Features) -> float:
        return float((scale**2 * (x.astype(float) @ y.astype(float)) / x.size + 1) ** 3)

    def within(rows: Features) -> float:
        pairs = [(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
        return math.fsum(kernel(a, b) for a, b in pairs) / len(pairs)

    across = math.fsum(kernel(a, b) for a in samples for b in real) / (len(samples) * len(real))
    return 1000 * (within(samples) + within(real) - 2 * across)


def scale_of(real: Features) -> float:
    return math.sqrt(real.shape[1] / np.mean([row @ row for row in real.astype(float)]))


def test_the_kernel_distance_is_that_of_all_pairs_of_scaled_features() -> None:
    samples, real = drawn(12, 2), drawn(15, 3) + 1
    slow = slow_kernel_distance(samples, real, scale_of(real))
    for factor in (1, 1 / 64):  # the scale of the features does not matter
        found = values(factor * samples, factor * real, "sentence-kid")["1000 sentence-kid"]
        assert found == pytest.approx(slow, rel=1e-5)
    assert slow_kernel_distance(samples, real, 1) != pytest.approx(slow, rel=0.1)  # known to be wrong: unscaled


def covered(rows: Features, by: Features) -> float:
    """The proportion of rows in a ball around a row of the other set that reaches to its third neighbour."""
    reach = [sorted(math.dist(x, y) for j, y in enumerate(by) if i != j)[2] for i, x in enumerate(by)]
    return sum(any(math.dist(x, y) <= r for y, r in zip(by, reach, strict=True)) for x in rows) / len(rows)


@pytest.mark.fuzz
@given(st.integers(4, 10), st.integers(4, 10), st.integers(1, 4), st.integers(0, 10**6))
def test_fuzz_equal_to_every_pair_and_to_the_root_of_a_matrix(n: int, m: int, dims: int, seed: int) -> None:
    samples, real = drawn(n, seed, dims), drawn(m, seed + 1, dims) + 1
    found = values(samples, real)
    slow = slow_kernel_distance(samples, real, scale_of(real))
    assert found["1000 sentence-kid"] == pytest.approx(slow, abs=1e-6 * max(1000, abs(slow)))
    assert (found["sentence-precision"], found["sentence-recall"]) == (covered(samples, real), covered(real, samples))
    first, second = (np.atleast_2d(np.cov(rows.astype(float), rowvar=False)) for rows in (samples, real))
    root = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
    apart = np.square(samples.mean(0, dtype=float) - real.mean(0, dtype=float)).sum()
    frechet = float(apart + np.trace(first + second) - 2 * root)
    assert found["sentence-frechet"] == pytest.approx(frechet, abs=1e-5)


def test_scores_carry_what_they_depend_on() -> None:
    for score in score_features(drawn(40, 4), (*PLAIN_METRICS, "mauve"), reference_of(drawn(60, 5))):
        found = str(score.signature)
        assert "|features:drawn|" in found and "|ref:lines@" in found and "|real-lines:60|samples:40|" in found
        assert ("|k:4|seeds:5|c:5|mixtures:25|pca:0.9|" in found) == (
            score.metric in ("mauve", "frontier-integral", "seed-sd")
        )


def test_too_few_lines_are_refused() -> None:
    with pytest.raises(InputError, match=r"3 line\(s\) in the samples; give at least 4"):
        values(drawn(3, 0), drawn(9, 0))
    with pytest.raises(InputError, match=r"2 line\(s\) in the reference; give at least 4"):
        values(drawn(9, 0), drawn(2, 0))


@pytest.mark.parametrize("metric", [*PLAIN_METRICS, "mauve"])
def test_features_that_do_not_compare_are_refused(metric: str) -> None:
    with pytest.raises(InputError, match="5 features per sample, but 6 per row of the reference"):
        values(drawn(9, 0), drawn(9, 0, dims=6), metric)
    broken = drawn(9, 0)
    broken[3, 2] = np.nan
    for samples, reference in ((broken, drawn(9, 0)), (drawn(9, 0), broken)):
        with pytest.raises(InputError, match="NaN, infinity or overflow in features"):
            values(samples, reference, metric)


def test_the_error_of_a_kernel_distance_is_that_of_samples_alone() -> None:
    real, count = drawn(100, 99, 3), 100
    found = [
        {name: value for score in score_features(drawn(200, seed, 3), PLAIN_METRICS, reference_of(real))
         for name, value in score.values.items()}
        for seed in range(count)
    ]  # fmt: skip
    kernel = [each["1000 sentence-kid"] for each in found]
    spread = float(np.std([value.value for value in kernel], ddof=1))
    errors = [value.error for value in kernel if value.error is not None]
    assert len(errors) == count
    assert math.sqrt(float(np.square(errors).mean())) == pytest.approx(spread, rel=0.25)
    # Known to be wrong for files with one reference: leaving out samples and reference together, as the interval does.
    both = [(value.high - value.value) / stats.t.ppf(0.975, 19) for value in kernel if value.high is not None]
    assert np.mean(both) > 1.4 * spread
    assert all(each["sentence-recall"].error is None for each in found)


# --- The language model


@torch.no_grad()
def plain_loss(model: LanguageModel, rows: list[list[int]]) -> float:
    """The mean negative log-probability of each word and line end, one row after the other, without padding."""
    terms = []
    for row in rows:
        states = model.lstm(model.embedding(torch.tensor([row])))[0][0]
        for state, word in zip(states, [*row[1:], 0], strict=True):
            terms.append(-float(model.to_words(state).log_softmax(-1)[word]))
    return math.fsum(terms) / len(terms)


@torch.no_grad()
def test_loss_and_features_do_not_depend_on_padding() -> None:
    torch.manual_seed(0)
    model, rows = LanguageModel(7, 6), [[2, 3, 4, 5], [2], [2, 6, 1]]
    padded = torch.tensor([[*row, *[0] * (6 - len(row))] for row in rows])
    assert float(model.loss(padded[:, :5])) == pytest.approx(plain_loss(model, rows), rel=1e-5)
    for row, features in zip(rows, model.features(padded), strict=True):
        states = model.lstm(model.embedding(torch.tensor([row])))[0][0]
        assert features.tolist() == pytest.approx((states.sum(0) / len(row)).tolist(), abs=1e-6)


def test_training_learns_what_follows_what() -> None:
    """Of lines of a fixed order of words, only the first word is uncertain: log 3 / 4 per word and line end."""
    rows = [[2, 3, 4, 5], [2, 4, 5, 3], [2, 5, 3, 4]]
    model = train(rows, 6, LmSettings(width=16, iterations=60, batch_size=8, rate=0.03))
    assert plain_loss(model, rows) == pytest.approx(math.log(3) / 4, abs=0.03)


def test_a_language_model_is_trained_once_with_equal_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = open_language_model(LINES, WHITE_SPACE, TINY)
    monkeypatch.setenv("TEXTGAN_CACHE", str(tmp_path / "another"))
    second = open_language_model(LINES, WHITE_SPACE, TINY)
    assert first.signature == second.signature
    assert first.encode(LINES).tolist() == second.encode(LINES).tolist()
    with monkeypatch.context() as patch:
        patch.setattr(language_model, "train", None)  # only the cache can give a model
        cached = open_language_model(LINES, WHITE_SPACE, TINY)
    assert cached.encode(LINES[::-1])[::-1] == pytest.approx(first.encode(LINES), abs=1e-6)
    others = [
        (LINES[1:], WHITE_SPACE, TINY),
        (LINES, WordRule("characters"), TINY),
        (LINES, WHITE_SPACE, LmSettings(iterations=1)),
    ]
    assert len({first.signature, *(open_language_model(*other).signature for other in others)}) == 4


def test_rare_words_are_one_word() -> None:
    encoder = open_language_model(["b a", "a b", "b a c", "a b d"], WHITE_SPACE, LmSettings(words=2, iterations=1))
    found = encoder.encode(["a b c", "a b zebra", "b a c"])
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert np.abs(found[0] - found[2]).max() > 1e-3


def test_a_reference_is_a_fixed_part_of_a_long_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"line {number}" for number in range(50)]
    options = CorpusOptions(write_lines(tmp_path / "text.txt", lines), split=False)
    monkeypatch.setattr("eval.sentences.real_lines.MOST", 20)
    found = open_real_lines(options, None)
    assert len(found.lines) == 20 and found.total == 50 and found.lines == [x for x in lines if x in found.lines]
    assert found == open_real_lines(options, None)
    assert found.floor_lines(1) is None
    held_out = open_real_lines(options, write_lines(tmp_path / "held-out.txt", ["x", "y", "z"]))
    assert held_out.sha256 == found.sha256
    assert held_out.floor_lines(3) == ["x", "y", "z"]
    assert held_out.floor_lines(4) is None


# --- The report


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main([*map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    random = np.random.default_rng(7)

    def text(name: str, words: str) -> str:
        return write_lines(tmp_path / name, [" ".join(random.choice(words.split(), 7)) for _ in range(45)])

    same = "the cat sat dog a . runn"
    return [text("real.txt", same), text("held-out.txt", same), text("good.txt", same), text("bad.txt", "dots ! the")]


def test_a_report_of_sentences(
    files: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(language_model, "LmSettings", lambda: LmSettings(words=9, width=8, iterations=20))
    real, held_out, good, bad = files
    flags = ("--reference", real, "--outside", real)
    metrics = ("--metrics", "diversity", *PLAIN_METRICS, "mauve", "perplexity")
    found = run(capsys, good, bad, *flags, "--held-out", held_out, *metrics)
    values = {
        file: {name: value for score in scores for name, value in score["scores"].items()}
        for file, scores in found.items()
    }
    for name in ("sentence-frechet", "1000 sentence-kid", "frontier-integral", "bits-per-word"):
        assert values[good][name]["value"] < values[bad][name]["value"], name
        assert values[bad][name]["floor"] < values[bad][name]["low"], name
    for name in ("sentence-precision", "sentence-recall", "mauve", "sample-entropy"):
        assert values[good][name]["value"] > values[bad][name]["value"], name
        assert values[bad][name]["floor"] > values[bad][name]["high"], name
    assert values[bad]["mauve"]["verdict"] == "worse"
    assert "distinct-1" in values[good]
    alone = run(capsys, held_out, *flags, "--metrics", "sentence-frechet", "perplexity")[held_out]
    floors = {name: value["value"] for score in alone for name, value in score["scores"].items()}
    assert {name: values[good][name]["floor"] for name in floors} == pytest.approx(floors)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--features", "lm", "--metrics", "perplexity", "--outside", "x"], "--features lm: no metric uses them"),
        (["--outside", "x", "--metrics", "mauve"], "--outside x: no metric uses it; add --metrics perplexity"),
        (["--metrics", "perplexity"], "needs a model of another text; name the text with --outside"),
        (["--features", "lm"], "--features lm: no metric uses them"),
        (["--metrics", "jsd", "--lower-case"], "--lower-case: none of --metrics uses it; leave it out, or add one of"),
        (["--metrics", "mauve", "--features", "minilm", "--lower-case"], "--lower-case: none of --metrics uses it"),
        (["--metrics", "zipf", "--ngram", "3"], "--ngram 3: none of --metrics uses it; .* one of jsd, overlap, likel"),
    ],
)
def test_flags_without_their_metric_are_refused(flags: list[str], message: str, files: list[str]) -> None:
    with pytest.raises(InputError, match=message):
        main([files[2], "--reference", files[0], *flags])
