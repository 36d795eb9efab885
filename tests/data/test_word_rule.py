import gzip
import json
import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import words as rules
from data.corpus import CorpusOptions
from data.errors import InputError, note
from data.words import WHITE_SPACE, Splitting, WordRule, is_unspaced
from eval import bleu, diversity, jsd, memorisation, ms_jaccard, report
from eval.text.bleu import score_bleu
from eval.text.jsd import score_words
from eval.text.words import number_words, open_word_reference
from tests.helpers.commands import command_line, jsd_of_words
from tests.helpers.oracles import nltk_bleu, nltk_self_bleu
from tests.helpers.paths import REAL_DATA
from tests.helpers.text import write_lines

FINDING_A = re.compile(r"n't|'\w+|\w+(?=n't)|\w+|[^\w\s]")
"""The rule as it was measured with, on lower case."""
LETTERS = "nNtT's\u2019 aé.-_3\u0301猫\u093f\u200d🙂\ufe0f\t\u00a0"


def split(line: str, words: Splitting = "punctuation", lower_case: bool = False) -> list[str]:
    return WordRule(words, lower_case).splitter()(line)[1]


def slowly(line: str) -> list[str]:
    """The rule by punctuation, a character at a time."""

    def is_mark(char: str) -> bool:
        return unicodedata.category(char)[0] == "M" or char in "\u200c\u200d"

    def end_of_word(start: int) -> int:
        end = start
        while end < len(line) and (line[end].isalnum() or line[end] == "_" or is_mark(line[end])):
            end += 1
        return end

    def is_contraction(at: int) -> bool:
        return line[at : at + 3].lower().replace("\u2019", "'") == "n't"

    words, start = [], 0
    while start < len(line):
        if line[start].isspace():
            start += 1
            continue
        end = end_of_word(start)
        if is_contraction(start):
            end = start + 3
        elif line[start] in "'\u2019" and end_of_word(start + 1) > start + 1:
            end = end_of_word(start + 1)
        elif end - 1 > start and is_contraction(end - 1):
            end -= 1
        elif end == start:  # a symbol, with its marks
            end += 1
            while end < len(line) and is_mark(line[end]):
                end += 1
        words.append(line[start:end])
        start = end
    return words


@pytest.mark.fuzz
@given(st.text(LETTERS, max_size=14))
def test_fuzz_punctuation_apart_equals_reading_characters(line: str) -> None:
    assert split(line) == slowly(line)
    assert "".join(split(line)) == "".join(line.split())
    assert split(line, lower_case=True) == [word.lower() for word in split(line)]


@pytest.mark.fuzz
@given(st.text("nt'ab_.é猫-3 ", max_size=14))
def test_fuzz_without_marks_and_capitals_it_is_the_rule_of_the_measurement(line: str) -> None:
    assert split(line) == FINDING_A.findall(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a man riding a wave.", "a man riding a wave ."),
        ("a man riding a wave .", "a man riding a wave ."),
        ("I don't, can't", "I do n't , ca n't"),
        ("DON'T n't it's", "DO N'T n't it 's"),
        ("don\u2019t it\u2019s \u2018so\u2019", "do n\u2019t it \u2019s \u2018 so \u2019"),
        ("'tis the dogs' o'clock", "'tis the dogs ' o 'clock"),
        ("well-known 3.5 1,000 a_b U.S.", "well - known 3 . 5 1 , 000 a_b U . S ."),
        ("... -- \u2014 \u00a35", ". . . - - \u2014 \u00a3 5"),
        ("cafe\u0301 e\u0301te\u0301.", "cafe\u0301 e\u0301te\u0301 ."),
        ("caf\u00e9", "caf\u00e9"),  # one code point: another word than with a combining accent
        ("नमस्ते दुनिया।", "नमस्ते दुनिया ।"),
        ("ที่นี่ ที่", "ที่นี่ ที่"),
        ("می\u200cخواهم.", "می\u200cخواهم ."),
        ("❤\ufe0f🙂!", "❤\ufe0f 🙂 !"),
        ("\u0301", "\u0301"),
        ("  \t\u00a0\u3000 ", ""),
    ],
)
def test_punctuation_apart(line: str, expected: str) -> None:
    assert split(line) == slowly(line) == expected.split(" ") * bool(expected)


def test_the_other_rules() -> None:
    line = "Don't  go,\u00a0é\u0301猫."
    assert split(line, "whitespace") == line.split() == ["Don't", "go,", "é\u0301猫."]
    assert split(line, "characters") == list("Don'tgo,é\u0301猫.")
    assert split(line, "characters", lower_case=True) == list("don'tgo,é\u0301猫.")
    assert split(line, "whitespace", lower_case=True) == ["don't", "go,", "é\u0301猫."]


def test_equal_lines_are_those_of_equal_words_and_of_equal_white_space_where_that_splits() -> None:
    lines = ["a wave.", "a wave .", "A  wave.", "a wave"]

    def different(rule: WordRule) -> int:
        return len(set(number_words(lines, {}, rule).hashes.tolist()))

    assert different(WHITE_SPACE) == 4
    assert different(WordRule("whitespace", lower_case=True)) == 4
    assert different(WordRule("punctuation")) == 3
    assert different(WordRule("punctuation", lower_case=True)) == 2
    assert different(WordRule("characters", lower_case=True)) == 2


def test_all_marks_are_known() -> None:
    every = {code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "M"}
    assert rules._marks().keys() == every | {0x200C, 0x200D}
    assert re.fullmatch(r"\w", rules._MARK)
    assert not any(re.match(r"\w", chr(code)) for code in every)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["我爱你。", "你好吗？今天天气很好。"], True),
        (["我 爱 你 。", "今天 天气 很 好 。"], False),  # segmented
        (["これは ペンです。", "私は日本人です"], True),
        (["ภาษาไทยเป็นภาษาที่มี ระดับเสียงของคำแน่นอน"], True),
        (["ภาษา ไทย เป็น ภาษา ที่ มี"], False),
        (["ភាសាខ្មែរ"], True),
        (["ພາສາລາວ"], True),
        (["안녕하세요 세계"], False),
        (["the cat sat, 猫 on the mat"], False),
        (["naïve café", "слова через пробел"], False),
        (["", "  "], False),
    ],
)
def test_scripts_without_spaces_are_told(lines: list[str], expected: bool) -> None:
    assert is_unspaced(lines) == expected


CAPTIONS = ["a man riding a wave.", "Two cats, one dog.", "it's a kitchen.", "a man isn't here."] * 5
APART = ["a man riding a wave .", "Two cats , one dog .", "it 's a kitchen .", "a man is n't here ."]


def printed(capsys: pytest.CaptureFixture[str], main: Any, *arguments: str) -> list[dict[str, Any]]:
    assert main([*arguments, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_one_rule_splits_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command_line(tmp_path, APART, CAPTIONS, APART)
    (divergence,) = printed(capsys, jsd.main, *arguments, "--level", "word")
    assert [each["value"] for each in divergence["scores"].values()] == pytest.approx([0.0] * 4, abs=1e-12)
    assert [each["floor"] for each in divergence["scores"].values()] == pytest.approx([0.0] * 4, abs=1e-12)
    against, _ = printed(capsys, bleu.main, *arguments)
    assert [each["value"] for each in against["scores"].values()] == pytest.approx([1.0] * 4, abs=1e-12)
    known, copied = printed(capsys, memorisation.main, *arguments)
    assert known["scores"]["known-words"]["value"] == copied["scores"]["copied-lines"]["value"] == 1.0
    by_space = printed(capsys, memorisation.main, *arguments, "--words", "whitespace")
    assert [value["value"] < 1 for score in by_space for value in score["scores"].values()] == [True, True]


def test_a_rule_on_one_side_only_is_wrong() -> None:
    numbers: dict[str, int] = {}
    number_words(CAPTIONS, numbers, WordRule("punctuation"))
    for rule, all_known in ((WordRule("punctuation"), True), (WHITE_SPACE, False)):
        samples = number_words(CAPTIONS, dict(numbers), rule)
        assert bool((samples.row <= len(numbers)).all()) == all_known


def test_scores_equal_nltks_by_the_same_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = Random(5)
    pieces = ("the", "The", "cat.", "don't", "it's", "3.5", "été,", "(on)", "sat")
    lines = [" ".join(random.choices(pieces, k=random.randrange(2, 9))) for _ in range(50)]
    references, samples = lines[:35], lines[35:]
    for flags, change in (([], str), (["--lower-case"], str.lower)):
        spaced = [[" ".join(slowly(change(line))) for line in part] for part in (samples, references)]
        against, among = printed(capsys, bleu.main, *command_line(tmp_path, samples, references, samples), *flags)
        expected = [nltk_bleu(sample, spaced[1]) for sample in spaced[0]]
        for column, value in zip(zip(*expected, strict=True), against["scores"].values(), strict=True):
            assert value["value"] == pytest.approx(sum(column) / len(column), abs=1e-12)
        by_each_other = nltk_self_bleu(spaced[0])
        for column, value in zip(zip(*by_each_other, strict=True), among["scores"].values(), strict=True):
            assert value["value"] == pytest.approx(sum(column) / len(column), abs=1e-12)


PINNED = {  # value and floor at commit 423dd7f, which knew white space alone
    "word-jsd-1": (0.017943763062861606, 0.005754130490180531),
    "word-jsd-2": (0.24532896575211138, 0.20274744261644723),
    "word-jsd-3": (0.8593676826249101, 0.8463669805642221),
    "word-jsd-4": (0.987657950201712, 0.9878589294047784),
    "bleu-2": (0.7782157095150296, 0.9053812133287089),
    "bleu-3": (0.5319258927551821, 0.6369398481108419),
    "bleu-4": (0.29391134081003806, 0.3483709719105253),
    "bleu-5": (0.20444585242737096, 0.23504827098871303),
    "self-bleu-2": (0.6458276187867676, 0.7958145578417136),
    "self-bleu-3": (0.3337664381972388, 0.36910028067960277),
    "self-bleu-4": (0.21767123366773652, 0.23460311265631284),
    "self-bleu-5": (0.17749890765695212, 0.18661147713993928),
    "distinct-1": (0.04778156996587031, 0.040345821325648415),
    "distinct-2": (0.5720338983050848, 0.49477351916376305),
    "distinct-3": (0.9315789473684211, 0.9523809523809523),
    "distinct-4": (0.9735099337748344, 0.9776536312849162),
    "duplicates": (0.17460317460317465, 0.06349206349206349),
    "known-words": (1.0, 1.0),
    "copied-lines": (0.2857142857142857, 0.12698412698412698),
}


def pinned_lines(seed: int, count: int) -> list[str]:
    words = (
        "the",
        "The",
        "cat.",
        "cat",
        ".",
        "don't",
        "it's",
        "3.5",
        "well-known",
        "été,",
        "猫",
        "'sat",
        "U.S.",
        "(on)",
    )
    random = Random(seed)
    found = [
        "  ".join(random.choices(words, k=random.randrange(8)))
        if number % 7 == 3
        else " ".join(random.choices(words, k=random.randrange(12)))
        for number in range(count)
    ]
    return found + found[:3]


def test_white_space_gives_the_numbers_and_hashes_of_the_first_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        write_lines(tmp_path / name, pinned_lines(seed, count))
        for name, seed, count in (("pin-samples.txt", 1, 60), ("pin-text.txt", 2, 400), ("pin-real.txt", 3, 90))
    ]
    arguments = [files[0], "--reference", files[1], "--held-out", files[2]]
    by_space, by_default = (
        [
            score
            for main in (jsd_of_words, bleu.main, diversity.main, memorisation.main)
            for score in printed(capsys, main, *arguments, *flags)
        ]
        for flags in (["--words", "whitespace"], [])
    )
    found = {name: (value["value"], value["floor"]) for score in by_space for name, value in score["scores"].items()}
    assert found.keys() == PINNED.keys()
    for name, values in PINNED.items():
        assert found[name] == pytest.approx(values, abs=1e-12), name
    references = [score["signature"].partition("|ref:")[2].partition("|")[0] for score in by_space]
    assert set(references) == {"pin-text.txt@3235f92b17c1", ""}
    assert all(score["signature"].endswith("|samples:63|words:whitespace|case:as-is|v:1") for score in by_space)
    assert all(score["signature"].endswith("|samples:63|words:punctuation|case:as-is|v:1") for score in by_default)
    assert "3235f92b17c1" not in str(by_default)


def test_rules_have_cache_entries_of_their_own(text_file: Path, cache: Path) -> None:
    write_lines(text_file, CAPTIONS)
    options = CorpusOptions(str(text_file), split=False)
    chosen = [WHITE_SPACE, WordRule("punctuation"), WordRule("punctuation", lower_case=True), WordRule("characters")]
    for _ in range(2):  # built, then read
        references = [open_word_reference(options, rule) for rule in chosen]
        assert [reference.rule for reference in references] == chosen
        assert [("wave." in each.words, "wave" in each.words, "Two" in each.words) for each in references] == [
            (True, False, True), (False, True, True), (False, True, False), (False, False, False)
        ]  # fmt: skip
    assert len(list(cache.glob("words/*"))) == len(chosen)
    assert len({reference.sha256 for reference in references}) == len(chosen)


@pytest.mark.parametrize("command", ["jsd", "bleu", "diversity", "memorisation", "ms_jaccard", "report"])
def test_text_without_spaces_is_noted_and_split_by_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    chinese = [f"今天天气很好，我们去公园{'走' * (number % 3)}。" for number in range(30)]
    text = write_lines(tmp_path / "text.txt", chinese)
    samples = write_lines(
        tmp_path / "samples.txt", [f"我们今天去{'公园' * (number % 2)}，很好。" for number in range(12)]
    )
    english = write_lines(tmp_path / "english.txt", CAPTIONS)
    mains = {
        "jsd": jsd, "bleu": bleu, "diversity": diversity, "memorisation": memorisation, "ms_jaccard": ms_jaccard,
        "report": report,
    }  # fmt: skip
    level = ["--level", "word"] if command == "jsd" else []

    def notes(*arguments: str) -> list[str]:
        note.cache_clear()  # as in a process of its own
        assert mains[command].main([*arguments, *level]) == 0
        said = capsys.readouterr().err.splitlines()
        return [line for line in said if "no spaces between words" in line]

    remedy = "has no spaces between words: pass --words characters"
    for _ in range(2):  # the second reads the cache
        assert notes(samples, "--reference", text) == [f"note: {samples} {remedy}", f"note: text.txt {remedy}"]
    assert notes(samples, "--reference", english) == [f"note: {samples} {remedy}"]
    assert notes(samples, "--reference", text, "--words", "whitespace") != []
    assert notes(samples, "--reference", text, "--words", "characters") == []
    assert notes(english, "--reference", english) == []


def test_characters_find_what_chinese_lines_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command_line(tmp_path, ["我们去公园。"] * 3, ["今天我们很好，去公园。"] * 3, ["公园很好。"] * 3)
    for flags, low in (([], False), (["--words", "characters"], True)):
        (divergence,) = printed(capsys, jsd.main, *arguments, "--level", "word", *flags)
        known, _ = printed(capsys, memorisation.main, *arguments, *flags)
        assert (divergence["scores"]["word-jsd-1"]["value"] < 0.5) == low
        assert (known["scores"]["known-words"]["value"] == 1.0) == low


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--level", "word", "--ngram", "4"], "--ngram: goes with --level char, not word"),
        (["--level", "word", "--seq-len", "32"], "--seq-len: goes with --level char, not word"),
        (["--level", "word", "--padding", "in"], "--padding: goes with --level char, not word"),
        (["--level", "word", "--curve"], "--curve: goes with --level char, not word"),
        (["--words", "whitespace"], "--words: goes with --level word, not char"),
        (["--lower-case"], "--lower-case: goes with --level word, not char"),
    ],
)
def test_flags_of_the_other_level_are_refused(tmp_path: Path, flags: list[str], message: str) -> None:
    arguments = command_line(tmp_path, APART, CAPTIONS, APART)
    with pytest.raises(InputError, match=message):
        jsd.main([*arguments, *flags])


def test_texygens_samples_and_coco_captions(tmp_path: Path) -> None:
    """The published table compared captions that end in a glued full stop with samples that end in one apart."""
    folder = REAL_DATA / "coco"
    if not folder.exists():
        pytest.skip(f"needs {folder}")

    def lines(name: str, count: int) -> Sequence[str]:
        with gzip.open(folder / f"{name}.txt.gz", "rt", encoding="utf-8") as file:
            return file.read().split("\n")[:count]

    options = CorpusOptions(write_lines(tmp_path / "captions.txt", lines("train", 9000)), split=False)
    expected = {  # BLEU-2, BLEU-4, 2-gram word JSD, measured apart from this code
        WHITE_SPACE: {"seqgan": (0.864, 0.461, 0.444), "mle": (0.849, 0.481, 0.411)},
        WordRule("punctuation", lower_case=True): {"seqgan": (0.908, 0.510, 0.390), "mle": (0.912, 0.557, 0.338)},
    }
    for rule, values in expected.items():
        reference = open_word_reference(options, rule)
        for name, told in values.items():
            samples = number_words(
                lines(f"samples-{name}", 1000), {word: at for at, word in enumerate(reference.words, start=1)}, rule
            )
            scores = score_bleu(samples, reference).values
            (divergence,) = score_words(samples, reference)
            found = (scores["bleu-2"].value, scores["bleu-4"].value, divergence.values["word-jsd-2"].value)
            assert found == pytest.approx(told, abs=6e-4), (rule, name)
