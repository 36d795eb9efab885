import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.lm import NgramCounter, WittenBellInterpolated
from nltk.util import everygrams

from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from data.line_ids import Ids
from eval.core.score import Estimate, Score
from eval.likelihood import main
from eval.ngrams import main as ngrams_main
from eval.text import likelihood
from eval.text.counts import NgramCounts, count_up_to, distinct, pack
from eval.text.likelihood import coverage, line_bits, quality
from eval.text.likelihood import score as compare
from eval.text.reference import Reference, ReferenceOptions, open_reference
from eval.text.reference_counts import ReferenceCounts
from tests.helpers.oracles import pseudo_value_interval
from tests.helpers.text import counted_text, draw_lines, toy_lines

Model = Mapping[tuple[int, ...], Counter[int]]


def fit(lines: Iterable[list[int]], order: int, every_padding: bool = False) -> Model:
    """What follows each history of up to order - 1 symbols, the empty one included.

    As a single symbol, padding counts where it ends a line alone, unless that is not known (order 1).
    """
    model: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for line in lines:
        for position, symbol in enumerate(line):
            for length in range(min(order, position + 1)):
                ends_a_line = symbol == 0 and position > 0 and line[position - 1] != 0
                if length or symbol != 0 or ends_a_line or every_padding:
                    model[tuple(line[position - length : position])][symbol] += 1
    return model


def probability(model: Model, history: tuple[int, ...], symbol: int, base: int) -> float:
    shorter = probability(model, history[1:], symbol, base) if history else 1 / base
    if history not in model:
        return shorter
    seen = model[history]
    return (seen[symbol] + len(seen) * shorter) / (seen.total() + len(seen))


def slow_line(line: list[int], model: Model, order: int, base: int) -> tuple[float, int]:
    """Bits and number of characters: all up to the last one, and the padding that follows it if there is one."""
    end = max((i + 1 for i, symbol in enumerate(line) if symbol), default=0)
    scored = line[: end + 1]
    bits = 0.0
    for i, symbol in enumerate(scored):
        bits -= math.log2(probability(model, tuple(scored[max(0, i - order + 1) : i]), symbol, base))
    return bits, len(scored)


def slow_ratio(lines: Iterable[list[int]], model: Model, order: int, base: int) -> float:
    scored = [slow_line(line, model, order, base) for line in lines]
    return math.fsum(bits for bits, _ in scored) / sum(length for _, length in scored)


def counts_of(ids: Ids, order: int, base: int) -> dict[int, NgramCounts]:
    return {n: distinct(pack(ids, n, base).ravel()) for n in range(1, order + 1)}


def codes(lines: list[str], alphabet: str, seq_len: int = 32) -> list[list[int]]:
    return [([alphabet.index(character) + 2 for character in line] + [0] * seq_len)[:seq_len] for line in lines]


def printed_scores(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> dict[str, dict[str, Any]]:
    """Run the command and return its values by name, with the signatures."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return {
        score["metric"]: {**score["scores"][score["metric"]], "signature": score["signature"]}
        for score in json.loads(capsys.readouterr().out)
    }


def by_name(scores: list[Score]) -> dict[str, Estimate]:
    return {name: estimate for score in scores for name, estimate in score.values.items()}


@pytest.mark.fuzz
@given(st.data())
def test_bits_equal_those_of_a_recursive_model(data: st.DataObject) -> None:
    base, order = data.draw(st.sampled_from([3, 4, 76, 2050])), data.draw(st.integers(2, 5))
    known = draw_lines(data, base, data.draw(st.integers(1, 3)), 7)
    # Lines that the model was made of and others, whose histories it may never have seen.
    lines = np.concatenate([known[:1], draw_lines(data, base, data.draw(st.integers(1, 3)), 7)])
    model = fit(known.tolist(), order)
    bits, characters = line_bits(lines, counts_of(known, order, base), base)
    slow = [slow_line(line, model, order, base) for line in lines.tolist()]
    assert bits.tolist() == pytest.approx([bits for bits, _ in slow], rel=1e-10, abs=1e-10)
    assert characters.tolist() == [length for _, length in slow]


def test_closed_form() -> None:
    # Made of the line ab, V = 4: p(a) = (1 + 2/4) / (2 + 2) = p(b), p(b | a) = (1 + p(b)) / (1 + 1).
    ab, a = np.array([[2, 3]], np.uint8), np.array([[2, 0]], np.uint8)
    bits, characters = line_bits(ab, counts_of(ab, 2, 4), 4)
    assert bits.tolist() == pytest.approx([-math.log2(0.375 * 0.6875)], abs=1e-12)
    assert characters.tolist() == [2]
    # The end of the line a, which never ended: p(end) = (0 + 2/4) / 4, p(end | a) = (0 + p(end)) / 2.
    assert line_bits(a, counts_of(ab, 2, 4), 4)[0].tolist() == pytest.approx([-math.log2(0.375 * 0.0625)], abs=1e-12)
    # Made of nothing at all every character is as likely as another.
    nothing = counts_of(np.zeros((1, 2), np.uint8), 2, 4)
    assert line_bits(ab, nothing, 4)[0].tolist() == pytest.approx([4.0], abs=1e-12)


@pytest.mark.parametrize("order", [2, 3])
def test_what_may_follow_a_history_sums_to_one(order: int) -> None:
    base = 6
    known = np.random.default_rng(0).choice([0, 2, 3, 4], (9, 7), p=[0.2, 0.4, 0.3, 0.1]).astype(np.uint8)
    counts = counts_of(known, order, base)
    for length in range(4):
        # Seen or not, with padding inside and unknown characters; lines end after their last character alone.
        histories = [h for h in product(range(base), repeat=length) if not h or h[-1] != 0]
        followed = np.array([[*history, symbol] for history in histories for symbol in range(base)], np.uint8)
        likelihoods = 2.0 ** -line_bits(followed, counts, base)[0].reshape(-1, base)
        before = 2.0 ** -line_bits(np.array(histories, np.uint8), counts, base)[0] if length else np.ones(1)
        assert (likelihoods > 0).all()
        assert likelihoods.sum(axis=1).tolist() == pytest.approx(before.tolist(), rel=1e-12)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_nltk_agrees_where_single_characters_are_equally_likely(order: int) -> None:
    # NLTK's Witten-Bell ends with the single characters' frequencies, not with equal ones. Where they are equal, and
    # every symbol there is occurs, both are the same.
    random = np.random.default_rng(order)
    base = 7
    known = np.array([[*random.permutation(np.arange(1, base)), 0, 0] for _ in range(12)], np.uint8)
    model = WittenBellInterpolated(order)
    text = [list(everygrams([str(symbol) for symbol in line[:base]], max_len=order)) for line in known.tolist()]
    model.fit(text, vocabulary_text=map(str, range(base)))
    lines = random.integers(1, base, (40, base + 2)).astype(np.uint8)
    lines[np.arange(base + 2) >= random.integers(1, base + 2, (40, 1))] = 0
    expected = []
    for line in lines.tolist():
        words = [str(symbol) for symbol in line[: line.index(0) + 1]]
        histories = [words[max(0, i - order + 1) : i] for i in range(len(words))]
        expected.append(-sum(math.log2(model.score(*pair)) for pair in zip(words, histories, strict=True)))
    bits, characters = line_bits(lines, counts_of(known, order, base), base)
    assert bits.tolist() == pytest.approx(expected, rel=1e-10)
    assert characters.tolist() == [line.index(0) + 1 for line in lines.tolist()]


@pytest.mark.parametrize("order", [2, 5])
def test_nltk_agrees_on_real_lines(lm1b_sample: Path, order: int) -> None:
    corpus = open_corpus(CorpusOptions(str(lm1b_sample), seq_len=40))
    base = corpus.tokenizer.size
    known, lines = (ids[(ids != 0).any(axis=1)] for ids in (corpus.train[:400], corpus.held_out[:100]))

    def words(line: list[int]) -> list[str]:
        return [str(symbol) for symbol in (line[: line.index(0) + 1] if 0 in line else line)]

    model = WittenBellInterpolated(order)
    model.fit([list(everygrams(words(line), max_len=order)) for line in known.tolist()], map(str, range(base)))
    singles: NgramCounter = model.counts.unigrams
    kinds, total = len(singles), singles.N()
    # One step further down than NLTK goes: from the single characters to equal probabilities.
    model.estimator.unigram_score = lambda word: (singles[word] + kinds / base) / (total + kinds)
    expected = []
    for line in map(words, lines.tolist()):
        histories = [tuple(line[max(0, i - order + 1) : i]) for i in range(len(line))]
        expected.append(-sum(math.log2(model.unmasked_score(*pair)) for pair in zip(line, histories, strict=True)))
    bits, _ = line_bits(lines, count_up_to(known, order, base), base)
    assert bits.tolist() == pytest.approx(expected, rel=1e-10)


def test_padding_is_counted_as_the_end_of_a_line_not_as_what_lines_are_made_of() -> None:
    text = counted_text(toy_lines(60, 0), 30, 3)
    base, ids = text.tokenizer.size, text.tokenizer.encode(toy_lines(60, 0)).padded(30)
    lines = text.tokenizer.encode(toy_lines(20, 1)).padded(30).tolist()
    bits, characters = line_bits(np.array(lines, np.uint8), text.counts, base)
    found = bits.sum() / characters.sum()
    assert found == pytest.approx(slow_ratio(lines, fit(ids.tolist(), 3), 3, base), rel=1e-12)
    wrong = slow_ratio(lines, fit(ids.tolist(), 3, every_padding=True), 3, base)
    assert wrong > found + 0.1  # as if two thirds of all characters were padding


def test_quality_is_bits_a_character_with_lines_left_out_in_turn() -> None:
    text = counted_text(toy_lines(60, 0), 10, 3)
    base = text.tokenizer.size
    model = fit(text.tokenizer.encode(toy_lines(60, 0)).padded(10).tolist(), 3)
    ids = text.tokenizer.encode([*toy_lines(15, 1), "", "xyz"]).padded(10)
    lines = ids.tolist()
    value = slow_ratio(lines, model, 3, base)
    left_out = [slow_ratio(lines[:i] + lines[i + 1 :], model, 3, base) for i in range(len(lines))]
    found = quality(ids, text)
    assert found.value == pytest.approx(value, rel=1e-12)
    assert (found.low, found.high) == pytest.approx(pseudo_value_interval(value, left_out), rel=1e-9)
    one = quality(ids[:1], text)
    assert one.value == pytest.approx(slow_ratio(lines[:1], model, 3, base), rel=1e-12)
    assert one.low is one.high is None


@pytest.mark.parametrize("samples", [6, 33])
def test_coverage_is_bits_a_character_of_real_lines_without_a_twentieth_of_the_samples(samples: int) -> None:
    text = counted_text(toy_lines(60, 0), 10, 3)
    base = text.tokenizer.size
    ids = text.tokenizer.encode(toy_lines(samples, 1)).padded(10)
    real = text.tokenizer.encode([*toy_lines(12, 2), ""]).padded(10)
    groups = np.arange(samples) % 20

    def slow(lines: Ids) -> float:
        return slow_ratio(real.tolist(), fit(lines.tolist(), 3), 3, base)

    left_out = [slow(ids[groups != group]) for group in range(min(samples, 20))]
    found = coverage(ids, text, real)
    assert found.value == pytest.approx(slow(ids), rel=1e-12)
    assert (found.low, found.high) == pytest.approx(pseudo_value_interval(slow(ids), left_out), rel=1e-9)
    one = coverage(ids[:1], text, real)
    assert one.value == pytest.approx(slow(ids[:1]), rel=1e-12)
    assert one.low is one.high is None


def test_a_few_good_lines_repeated_have_quality_without_coverage() -> None:
    real = toy_lines(400, 0)
    text = counted_text(real, 12, 4)
    ids = text.tokenizer.encode(real).padded(12)
    bits, characters = line_bits(ids, text.counts, text.tokenizer.size)
    best = ids[np.argsort(bits / characters, kind="stable")[:3]]
    repeated, varied = np.tile(best, (50, 1)), ids[:150]
    assert quality(repeated, text).value < quality(varied, text).value
    assert coverage(repeated, text, ids[200:]).value > coverage(varied, text, ids[200:]).value


def test_the_model_is_as_long_as_64_bits_allow() -> None:
    # 2,050 symbols: five to a key. Some lines come several times, so that long histories tell something.
    whole = "".join(chr(0x4E00 + i) for i in range(2048))
    real = [whole[i : i + 8] for i in range(0, 2048, 8)] + [whole[:7]] * 9 + [whole[:6] + whole[9]] * 9
    text = counted_text(real, 8, 6)
    assert text.tokenizer.size == 2050
    known = text.tokenizer.encode(real).padded(8).tolist()
    ids = text.tokenizer.encode([whole[:7], whole[8:16], whole[1:8], "x"]).padded(8)
    found = compare(ids, Reference(text, None, None))
    assert [score.metric for score in found] == ["quality"]  # no real lines are known
    value = found[0].values["quality"].value
    assert value == pytest.approx(slow_ratio(ids.tolist(), fit(known, 5), 5, 2050), rel=1e-12)
    assert value != pytest.approx(slow_ratio(ids.tolist(), fit(known, 6), 6, 2050), rel=1e-4)
    assert "|n:5|" in str(found[0].signature)
    assert text.settings(4)["n"] == 6


def test_coverage_is_of_some_real_lines_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "_REAL_LINES", 10)
    seen = []

    def remembering(ids: Ids, text: ReferenceCounts, real: Ids) -> Estimate:
        seen.append(real.tolist())
        return coverage(ids, text, real)

    monkeypatch.setattr(likelihood, "coverage", remembering)
    lines = sorted(set(toy_lines(200, 0)))
    text = counted_text(lines, 12, 3)
    train = text.tokenizer.encode(lines).padded(12)
    found = compare(train[:5], Reference(text, train, None))
    assert "|real-lines:10|" in str(found[1].signature)
    places = [train.tolist().index(line) for line in seen[0]]
    assert len(places) == 10
    assert places == sorted(set(places))
    slow = slow_ratio(seen[0], fit(train[:5].tolist(), 3), 3, text.tokenizer.size)
    assert found[1].values["coverage"].value == pytest.approx(slow, rel=1e-12)
    compare(train[:5], Reference(text, train, None))
    assert seen[1] == seen[0]
    # Held-out lines are preferred to those that are in the reference, and all taken where they are few.
    compare(train[:5], Reference(text, train, train[50:57]))
    assert seen[2] == train[50:57].tolist()


def test_the_command_scores_a_file_against_another(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = text_file.read_text("utf-8").splitlines()
    ours = [line[::-1] if i % 3 else line for i, line in enumerate(lines[:40])]
    samples = text_file.with_name("samples.txt")
    samples.write_text("\n".join(ours), "utf-8")
    found = printed_scores(capsys, [str(samples), "--reference", str(text_file), "--ngram", "3"])
    alphabet = "".join(sorted(set("".join(lines))))
    base = len(alphabet) + 2
    ours_coded, real_coded = codes(ours, alphabet), codes(lines, alphabet)
    expected = {
        "quality": slow_ratio(ours_coded, fit(real_coded, 3), 3, base),
        "coverage": slow_ratio(real_coded, fit(ours_coded, 3), 3, base),
    }
    assert {name: value["value"] for name, value in found.items()} == pytest.approx(expected, rel=1e-10)
    assert {value["floor"] for value in found.values()} == {None}
    assert "|n:3|sym:char|len:32|pad:in|ref:text.txt@" in found["quality"]["signature"]
    assert "|samples:40|model:witten-bell|v:" in found["quality"]["signature"]
    assert "|samples:40|model:witten-bell|real-lines:2000|v:" in found["coverage"]["signature"]


def test_coverage_of_other_held_out_lines_has_another_signature(
    text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = text_file.read_text("utf-8").splitlines()
    for name, part in (("samples", lines[:40]), ("one", lines[40:80]), ("same", lines[40:80]), ("two", lines[80:120])):
        text_file.with_name(f"{name}.txt").write_text("\n".join(part), "utf-8")
    arguments = [str(text_file.with_name("samples.txt")), "--reference", str(text_file), "--ngram", "3"]
    held_out = [["--held-out", str(text_file.with_name(f"{name}.txt"))] for name in ("one", "same", "two")]
    found = [printed_scores(capsys, [*arguments, *more]) for more in ([], *held_out)]
    values, signatures = ([each["coverage"][key] for each in found] for key in ("value", "signature"))
    assert values[1] == values[2]
    assert signatures[1] == signatures[2]
    assert len(set(values)) == len(set(signatures)) == 3
    assert len({each["quality"]["signature"] for each in found}) == 1  # of the samples alone


def test_the_table_shows_what_the_json_holds(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = text_file.with_name("samples.txt")
    samples.write_text("\n".join(text_file.read_text("utf-8").splitlines()[:30]), "utf-8")
    arguments = [str(samples), "--reference", str(text_file), "--ngram", "2", "--held-out", str(text_file)]
    found = printed_scores(capsys, arguments)
    assert main(arguments) == 0
    table = capsys.readouterr().out
    for name, value in found.items():
        assert f"{name} of 30 samples against text.txt (2,000 lines), lower is better\n\n" in table
        row = f"{name} {value['value']:.4f} {value['low']:.4f} .. {value['high']:.4f}"
        (cells,) = (line.split() for line in table.splitlines() if line.startswith(f"{name} ") and " .. " in line)
        assert (cells[:5], cells[-1]) == (row.split(), f"{value['floor']:.4f}")
        assert f"\n{value['signature']}\n" in table


def test_floors_are_the_scores_of_real_text(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = text_file.read_text("utf-8").splitlines()
    names = ("samples.txt", "real.txt", "held_out.txt")
    samples, real, held_out = (text_file.with_name(name) for name in names)
    samples.write_text("\n".join(line[::-1] for line in lines[:60]), "utf-8")
    real.write_text("\n".join(lines[:60]), "utf-8")
    held_out.write_text("\n".join(f"{line[:5]} cat mat 7" for line in lines[:60]), "utf-8")
    against = ["--reference", str(real), "--ngram", "3", "--held-out", str(held_out)]
    found = printed_scores(capsys, [str(samples), *against])
    # Quality: the held-out lines themselves. Coverage of them: as many lines of the reference, here all there are.
    direct = {path: printed_scores(capsys, [str(path), *against]) for path in (held_out, real)}
    assert found["quality"]["floor"] == direct[held_out]["quality"]["value"]
    assert found["coverage"]["floor"] == direct[real]["coverage"]["value"]
    assert found["quality"]["floor"] < found["quality"]["value"]
    assert found["coverage"]["floor"] < found["coverage"]["value"]
    # A reference that was only counted has no lines: coverage is of the held-out ones, and has no floor.
    folder = text_file.with_name("real.ngrams")
    assert ngrams_main(["build", str(real), "--ngram", "3", "--output", str(folder)]) == 0
    counted = printed_scores(capsys, [str(samples), "--reference", str(folder), "--held-out", str(held_out)])
    assert counted["quality"] == found["quality"]
    assert counted["coverage"] == {**found["coverage"], "floor": None}
    assert list(printed_scores(capsys, [str(samples), "--reference", str(folder)])) == ["quality"]


def test_a_reference_without_line_ends_is_refused(text_file: Path) -> None:
    for flags in (["--padding", "out"], ["--ngram", "1"]):
        with pytest.raises(InputError, match=r"--padding out, --ngram 1: cross-entropy needs pairs of characters"):
            main([str(text_file), "--reference", str(text_file), *flags])


def test_an_empty_held_out_part_counts_as_none(tmp_path: Path) -> None:
    text = tmp_path / "tiny.txt"
    text.write_text("the cat sat\nthe dog ran\n", "utf-8")
    options = ReferenceOptions(CorpusOptions(str(text)), ngram=4)
    reference = open_reference(options)
    assert reference.held_out is None
    assert reference.train is not None
    found = compare(reference.train[:2], reference)[1].values["coverage"]
    assert found.value == coverage(reference.train[:2], reference.text, reference.train[:]).value
