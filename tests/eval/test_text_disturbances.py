import json
import math
from collections import Counter
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from data.errors import InputError
from data.sources import open_source
from eval.disturb import main
from eval.text.disturbances import (
    LEVELS,
    REMAINING,
    all_disturbances,
    contamination,
    mode_collapse,
    split,
    truncated,
    words_dropped,
    words_repeated,
    words_swapped,
)
from tests.helpers.oracles import all_windows
from tests.helpers.text import short_lines, write_lines

LINES = [" ".join(f"{letter}{i}" for letter in "abcdefghijklmnopqrst"[: 5 + i % 16]) for i in range(400)]
OTHERS = [f"other {i}" for i in range(350)]
WORDS = len(" ".join(LINES).split())


def within(count: int, trials: int, chance: float) -> bool:
    """Whether a binomial count lies within five standard deviations."""
    return abs(count - chance * trials) < 5 * math.sqrt(trials * chance * (1 - chance))


def is_part(short: list[str], long: list[str]) -> bool:
    """Whether all words stand in the long line in the same order."""
    rest = iter(long)
    return all(word in rest for word in short)


@pytest.mark.fuzz
@given(
    st.lists(st.text("ab  é猫", max_size=8), min_size=1, max_size=6),
    st.floats(0, 1),
    st.integers(0, 99),
    st.sampled_from([" ", ""]),
)
def test_fuzz_what_a_disturbance_keeps(lines: list[str], level: float, seed: int, space: str) -> None:
    def words_of(line: str) -> list[str]:
        return line.split(space) if space and line else list(line)

    for disturbance in all_disturbances([f"other {i}" for i in range(6)], space):
        assert disturbance.apply(lines, 0.0, seed) == lines
        disturbed = disturbance.apply(lines, level, seed)
        assert len(disturbed) == len(lines)
        for line, found in zip(lines, disturbed, strict=True):
            match disturbance.name:
                case "words dropped":
                    assert is_part(words_of(found), words_of(line)) or found == ""
                case "words swapped":
                    assert Counter(words_of(found)) == Counter(words_of(line))
                case "words repeated":
                    assert set(words_of(found)) == set(words_of(line))
                    assert len(words_of(line)) <= len(words_of(found)) <= 2 * len(words_of(line))
                case "truncated":
                    assert line.startswith(found)
                case "mode collapse":
                    assert found in lines
                case "contamination":
                    assert found == line or found.startswith("other ")


@pytest.mark.parametrize("level", LEVELS[1:])
def test_the_level_is_the_proportion_of_words(level: float) -> None:
    dropped = words_dropped(LINES, level, 0)
    assert within(len(" ".join(dropped).split()), WORDS, 1 - level)
    repeated = words_repeated(LINES, level, 0)
    assert within(len(" ".join(repeated).split()) - WORDS, WORDS, level)
    swapped = words_swapped(LINES, level, 0)
    moved = sum(
        one != other
        for line, found in zip(LINES, swapped, strict=True)
        for one, other in zip(line.split(), found.split(), strict=True)
    )
    # A word that is chosen alone in its line stays: of w words with probability w p (1 - p)^(w - 1).
    alone = sum(len(line.split()) * level * (1 - level) ** (len(line.split()) - 1) for line in LINES)
    assert abs(moved - (level * WORDS - alone)) < 5 * math.sqrt(WORDS * level)
    assert truncated(["a b c d e f g h", "a", ""], level)[0] == " ".join("abcdefgh"[: math.ceil((1 - level) * 8)])
    assert truncated(["a", ""], level) == ["a", ""]


@pytest.mark.parametrize("level", LEVELS[1:])
def test_the_level_is_the_proportion_of_lines(level: float) -> None:
    collapsed = mode_collapse(LINES, level, 0)
    changed = Counter(found for line, found in zip(LINES, collapsed, strict=True) if line != found)
    assert within(changed.total(), 400, level)
    assert len(changed) == REMAINING
    contaminated = contamination(LINES, level, 0, OTHERS)
    foreign = [line for line in contaminated if line.startswith("other")]
    assert len(foreign) == len(set(foreign)) == round(level * 400)
    assert [line for line in contaminated if line not in set(foreign)] == [
        line for line, found in zip(LINES, contaminated, strict=True) if line == found
    ]


def test_a_higher_level_disturbs_the_same_places_and_more() -> None:
    for disturbance in all_disturbances(OTHERS):
        changed = [
            {i for i, (line, found) in enumerate(zip(LINES, disturbance.apply(LINES, level, 3), strict=True))
             if line != found}
            for level in LEVELS
        ]  # fmt: skip
        for lower, higher in pairwise(changed):
            assert lower < higher or len(lower) == len(LINES)
        assert disturbance.apply(LINES, 0.5, 3) == disturbance.apply(LINES, 0.5, 3)
        assert disturbance.name == "truncated" or disturbance.apply(LINES, 0.5, 3) != disturbance.apply(LINES, 0.5, 4)


def test_words_are_characters_without_a_space() -> None:
    assert truncated(["猫が座った。"], 0.5, "") == ["猫が座"]
    (found,) = words_repeated(["ab"], 1.0, 0, "")
    assert found == "aabb"


def test_halves_are_random_and_hold_each_line_once() -> None:
    disturbed, reference = split(LINES, "text")
    assert sorted([*disturbed, *reference]) == sorted(LINES)
    assert len(disturbed) == 200
    assert within(sum(line in set(LINES[:200]) for line in disturbed), 200, 0.5)
    with pytest.raises(InputError, match="text: 3 lines do not make two halves; give at least 4"):
        split(LINES[:3], "text")


@pytest.fixture
def text(tmp_path: Path) -> str:
    return write_lines(tmp_path / "text.txt", short_lines()[:300])


def test_the_command_scores_every_level_as_by_hand(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["text", text, "--metrics", "diversity", "lengths", "--words", "whitespace"]
    assert main([*arguments, "--json"]) == 0
    found: dict[str, dict[str, Any]] = {score["metric"]: score for score in json.loads(capsys.readouterr().out)}
    assert list(found) == ["distinct-1", "distinct-2", "distinct-3", "distinct-4", "duplicates", "length-distance"]
    disturbed, reference = split(short_lines()[:300], "text")
    others = next(open_source("grammar").train())[:150]
    expected: dict[str, list[float]] = {}
    for disturbance in all_disturbances(others):
        for level in LEVELS:
            lines = disturbance.apply(disturbed, level, 0)
            windows = all_windows(lines, 2)
            assert found["distinct-2"]["scores"][f"{disturbance.name} {level:g}"]["value"] == pytest.approx(
                len(windows) / windows.total(), abs=1e-12
            )
            # Quantiles of two equally large sets: W is the mean difference of sorted lengths.
            ours, real = (np.sort([len(line.split()) for line in each]) for each in (lines, reference))
            expected.setdefault(disturbance.name, []).append(float(np.abs(ours - real).mean()))
            value = found["length-distance"]["scores"][f"{disturbance.name} {level:g}"]["value"]
            assert value == pytest.approx(expected[disturbance.name][-1], abs=1e-12)
    rhos = found["length-distance"]["rank_correlation"]
    for name in ("words dropped", "words repeated", "truncated"):
        ranks = stats.rankdata(expected[name])
        assert rhos[name] == pytest.approx(np.corrcoef(np.arange(5), ranks)[0, 1], abs=1e-12)
        assert rhos[name] > 0.8
    # Of 4 to 7 words, 0.9 rounded up are all: Pearson's of the ranks 1.5, 1.5, 3, 4, 5.
    assert rhos["truncated"] == pytest.approx(math.sqrt(0.95), abs=1e-12)
    assert rhos["words swapped"] is None  # lengths stay
    assert found["duplicates"]["rank_correlation"]["mode collapse"] == pytest.approx(1, abs=1e-12)
    assert found["duplicates"]["violations"]["mode collapse"] == 0
    assert found["distinct-1"]["rank_correlation"]["words dropped"] < 0  # taken for better
    signature = found["length-distance"]["signature"]
    assert "|samples:150|words:whitespace|case:as-is|seed:0|other:grammar@" in signature
    assert "|levels:0,0.1,0.25,0.5,0.75|" in signature
    assert "disturbed" not in signature


def test_short_lines_have_shorter_ngrams(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["text", text, "--metrics", "jsd", "--seq-len", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [score["metric"] for score in found] == ["jsd-1", "jsd-2", "jsd-3"]
    assert all(score["signature"].startswith("jsd|n:3|sym:char|len:3|") for score in found)


def test_disturbed_characters_are_signed_in_scores_without_a_word_rule(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["text", text, "--count", "40", "--metrics", "jsd", "--seq-len", "8", "--json"]
    signatures = []
    for more in ([], ["--words", "characters"]):
        assert main([*arguments, *more]) == 0
        signatures.append(json.loads(capsys.readouterr().out)[0]["signature"])
    assert signatures[1] == signatures[0].replace("|v:", "|disturbed:characters|v:")


def test_the_table_has_a_row_per_score_and_the_figure_is_written(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "figure.svg"
    assert main(["text", text, "--metrics", "lengths", "zipf", "--output", str(figure)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (row,) = (row for row in rows if row[:1] == ["length-distance"])
    assert row[1:6] == ["lower", "+1.0", "-", "+1.0", "+1.0"]
    drawn = figure.read_text("utf-8")
    assert all(f"<!-- {name} -->" in drawn for name in ("words dropped", "mode collapse", "+1.0"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metrics", "rouge"], "--metrics rouge: not a text metric; choose from jsd"),
        (["--contaminate-with", "few.txt"], "--contaminate-with: 2 lines, but 112 are needed; give more"),
        (["--contaminate-with", "text.txt"], "--contaminate-with text.txt: the disturbed text itself; name another"),
        (["--count", "3"], "text.txt: 3 lines do not make two halves"),
        (["--count", "-1"], "--count -1: must be at least 1"),
        (["--output", "figure.txt"], "--output figure.txt: must end in .png"),
    ],
)
def test_wrong_flags_end_before_the_work(
    text: str, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("eval.disturb.real_text", None)
    write_lines(tmp_path / "few.txt", ["a", "b"])
    with pytest.raises(InputError) as refused:
        main(["text", Path(text).name, *arguments])
    assert message in str(refused.value)


def test_other_lines_come_from_the_named_text(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_lines(tmp_path / "other.txt", ["zzz " * 40] * 200)
    assert main(["text", text, "--metrics", "lengths", "--contaminate-with", other, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    ours = list(chain.from_iterable(open_source(text).train()))
    mean = np.mean([len(line.split()) for line in ours])
    # Three quarters of the lines have forty words.
    assert found["scores"]["contamination 0.75"]["value"] == pytest.approx(0.75 * (40 - mean), rel=0.02)
