"""`score_lines` of every text command returns what the command prints for files of the same lines."""

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from eval import jsd, ngrams, overlap, report
from eval.core.score import Score
from eval.text.metrics import METRICS
from tests.helpers.commands import run
from tests.helpers.text import short_lines, write_lines

# A long line, an empty one, a tab, and characters outside ASCII and outside the reference.
SAMPLES = [
    *short_lines()[:60:2],
    "the dog sat on " * 4,
    "",
    "é\tcat 漢",
    "the cat sat on a mat",
    "the cat sat on a mat",
]
REFERENCE = short_lines()[:300]
HELD_OUT = short_lines()[300:400]

COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("jsd", {}),
    ("jsd", {"ngram": 4, "seq_len": 20, "padding": "out"}),
    ("jsd", {"level": "word", "words": "whitespace", "lower_case": True}),
    ("overlap", {"ngram": 3, "seq_len": 24, "padding": "out", "reference_lines": 200}),
    ("likelihood", {"ngram": 4}),
    ("bleu", {"lower_case": True}),
    ("ms_jaccard", {"words": "whitespace", "reference_lines": 200}),
    ("diversity", {"words": "characters"}),
    ("memorisation", {"words": "whitespace", "reference_lines": 100}),
    ("report", {}),
    ("report", {"metrics": ["bleu", "jsd"], "ngram": 5, "words": "whitespace"}),
]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Files of the three texts, with the name that lines have."""
    texts = {"samples": SAMPLES, "reference": REFERENCE, "held_out": HELD_OUT}
    for name, lines in texts.items():
        (tmp_path / name).mkdir()
        write_lines(tmp_path / name / "lines", lines)
    return {name: tmp_path / name / "lines" for name in texts}


def as_flags(settings: dict[str, Any]) -> list[str]:
    """Return settings as the flags of a command."""
    words: list[str] = []
    for name, value in settings.items():
        words.append("--" + {"reference_lines": "lines"}.get(name, name).replace("_", "-"))
        words += [] if value is True else map(str, value) if isinstance(value, list) else [str(value)]
    return words


def printed(capfd: pytest.CaptureFixture[str], name: str, samples: Path, *flags: str) -> list[dict[str, Any]]:
    """Return what a command prints as JSON for one file."""
    status, out, _ = run(capfd, f"eval.{name}", str(samples), *flags, "--json")
    assert status == 0
    scores = json.loads(out)
    return list(scores[str(samples)] if isinstance(scores, dict) else scores)


def as_printed(scores: list[Score]) -> Any:
    return json.loads(json.dumps([score.as_json() for score in scores]))


def test_text_metrics_have_commands_with_score_lines_or_the_report_alone() -> None:
    commands = {
        "word-jsd" if settings.get("level") == "word" else name.replace("_", "-") for name, settings in COMMANDS
    }
    in_reports_alone = {"entropy", "repetition", "zipf", "lengths", "copied-ngrams", "classifier"}
    assert commands == {*METRICS, "report"} - in_reports_alone
    assert all(callable(import_module(f"eval.{name}").score_lines) for name, _ in COMMANDS)


@pytest.mark.parametrize(("name", "settings"), COMMANDS)
def test_lines_score_as_the_command_prints(
    name: str, settings: dict[str, Any], files: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    score_lines = import_module(f"eval.{name}").score_lines
    expected = printed(capfd, name, files["samples"], "--reference", str(files["reference"]), *as_flags(settings))
    assert as_printed(score_lines(SAMPLES, REFERENCE, **settings)) == expected
    assert as_printed(score_lines((line for line in SAMPLES), iter(REFERENCE), **settings)) == expected
    assert as_printed(score_lines(SAMPLES, str(files["reference"]), **settings)) == expected
    with files["samples"].open(encoding="utf-8") as opened:
        assert as_printed(score_lines(opened, files["reference"], **settings)) == expected
    estimates = [estimate for score in expected for estimate in score["scores"].values()]
    assert any(estimate["low"] is not None for estimate in estimates)
    # Other lines are another text: a signature that named any lines alike would hide it.
    others = as_printed(score_lines(SAMPLES, REFERENCE[1:], **settings))
    named = [number for number, score in enumerate(expected) if "|ref:" in score["signature"]]
    if settings.get("reference_lines") is None:
        assert all(others[number]["signature"] != expected[number]["signature"] for number in named)
    assert bool(named) == (name != "diversity")


@pytest.mark.parametrize("name", ["jsd", "bleu", "report"])
def test_the_floor_is_of_the_held_out_text(
    name: str, files: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    score_lines = import_module(f"eval.{name}").score_lines
    flags = ["--reference", str(files["reference"]), "--held-out", str(files["held_out"])]
    expected = printed(capfd, name, files["samples"], *flags)
    for held_out in (HELD_OUT, iter(HELD_OUT), str(files["held_out"]), files["held_out"]):
        assert as_printed(score_lines(SAMPLES, REFERENCE, held_out=held_out)) == expected
    assert all(estimate["floor"] is not None for estimate in expected[0]["scores"].values())
    assert as_printed(score_lines(SAMPLES, REFERENCE, held_out=HELD_OUT[::-1])) != expected


def test_the_embedded_text_is_the_reference_by_default(
    files: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    expected = printed(capfd, "overlap", files["samples"], "--lines", "300")
    assert as_printed(overlap.score_lines(SAMPLES, reference_lines=300)) == expected
    assert "|ref:grammar@" in expected[0]["signature"]


def test_a_path_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(Path("grammar"), REFERENCE)
    (by_path,) = jsd.score_lines(SAMPLES, Path("grammar"), 3)
    (by_lines,) = jsd.score_lines(SAMPLES, REFERENCE, 3)
    (by_name,) = jsd.score_lines(SAMPLES, "grammar", 3, reference_lines=300)
    assert by_path.values == by_lines.values
    assert by_path.values != by_name.values


def test_saved_counts_are_a_reference(files: dict[str, Path], tmp_path: Path) -> None:
    built = ["build", str(files["reference"]), "--ngram", "4", "--seq-len", "20", "--output", str(tmp_path / "saved")]
    assert ngrams.main(built) == 0
    (by_counts,) = jsd.score_lines(SAMPLES, tmp_path / "saved")
    (by_lines,) = jsd.score_lines(SAMPLES, REFERENCE, 4, seq_len=20)
    values = {name: (estimate.value, estimate.low, estimate.high) for name, estimate in by_counts.values.items()}
    assert list(values) == ["jsd-1", "jsd-2", "jsd-3", "jsd-4"]
    assert values == {name: (value.value, value.low, value.high) for name, value in by_lines.values.items()}
    found = [score.metric for score in report.score_lines(SAMPLES, tmp_path / "saved")]
    assert found == ["jsd", "precision", "recall", "cosine", "quality"]  # counts hold no lines, which coverage needs
    with pytest.raises(InputError, match=r"--seq-len 32: .* was counted with 20; build it again"):
        jsd.score_lines(SAMPLES, tmp_path / "saved", seq_len=32)
    with pytest.raises(InputError, match="saved counts have no words; name the text itself"):
        report.score_lines(SAMPLES, tmp_path / "saved", ["bleu"])


def test_the_end_and_the_mark_of_a_file_are_no_characters() -> None:
    plain = jsd.score_lines(SAMPLES, REFERENCE, 3)
    assert jsd.score_lines([f"{line}\n" for line in SAMPLES], [f"{line}\n" for line in REFERENCE], 3) == plain
    assert jsd.score_lines(["\ufeff" + SAMPLES[0], *SAMPLES[1:]], REFERENCE, 3) == plain
    assert jsd.score_lines([f"{line} " for line in SAMPLES], REFERENCE, 3) != plain
    # Separators that end no line in a text file are characters of the line.
    assert jsd.score_lines([f"{line}\u2028\x85" for line in SAMPLES], REFERENCE, 3)[0].samples == len(SAMPLES)


def test_many_lines_are_scored_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = report.score_lines(SAMPLES, REFERENCE)
    monkeypatch.setattr("eval.text.api._BLOCK", 7)
    assert report.score_lines(SAMPLES, REFERENCE) == whole


def test_lines_leave_no_file_but_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    first = report.score_lines(SAMPLES, REFERENCE, held_out=HELD_OUT)
    counted = sorted(path.name for path in cache.glob("*/*"))
    assert report.score_lines(SAMPLES, REFERENCE, held_out=HELD_OUT) == first
    assert sorted(path.name for path in cache.glob("*/*")) == counted  # equal lines are counted once
    assert list((tmp_path / "temporary").iterdir()) == []


def numbers() -> Iterator[Any]:
    yield from ("a line", 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jsd.score_lines([], REFERENCE), "lines: empty; give at least one sample"),
        (lambda: jsd.score_lines("the cat", REFERENCE), "lines: one str, not lines; give a list of str"),
        (lambda: jsd.score_lines(Path("samples.txt"), REFERENCE), "lines: one PosixPath, not lines"),  # type: ignore[arg-type]
        (lambda: jsd.score_lines(b"the cat", REFERENCE), "lines: one bytes, not lines"),  # type: ignore[arg-type]
        (lambda: jsd.score_lines(numbers(), REFERENCE), "lines: line 2 is int, not str; give text"),
        (lambda: jsd.score_lines(["a", "b\nc"], REFERENCE), r"lines: line 2 holds '\\n', as no line of a text does"),
        (lambda: jsd.score_lines(["a\r\n"], REFERENCE), r"lines: line 1 holds '\\r', as no"),
        (lambda: jsd.score_lines(["a\0"], REFERENCE), r"lines: line 1 holds '\\x00', as no"),
        (lambda: jsd.score_lines(["a\ud800"], REFERENCE), r"lines: line 1 holds '\\ud800', as no"),
        (lambda: jsd.score_lines(SAMPLES, ["a", "b\n\n"]), r"reference: line 2 holds '\\n', as no"),
        (lambda: jsd.score_lines(SAMPLES, []), "lines: no lines"),
        (lambda: jsd.score_lines(SAMPLES, REFERENCE, held_out=["\r"]), r"held_out: line 1 holds '\\r', as no"),
        (lambda: jsd.score_lines(SAMPLES, "nowhere.txt"), "nowhere.txt: no such file or folder"),
        (lambda: jsd.score_lines(SAMPLES, REFERENCE, 0), "--ngram 0: must be at least 1"),
        (lambda: jsd.score_lines(SAMPLES, REFERENCE, seq_len=0), "--seq-len 0: must be at least 1"),
        (lambda: jsd.score_lines(SAMPLES, REFERENCE, reference_lines=0), "--lines 0: must be at least 1"),
        (lambda: jsd.score_lines(SAMPLES, REFERENCE, padding="on"), "--padding 'on': choose from in, out"),  # type: ignore[arg-type]
        (lambda: jsd.score_lines(SAMPLES, REFERENCE, level="words"), "--level 'words': choose from char, word"),  # type: ignore[arg-type]
        (lambda: jsd.score_lines(SAMPLES, REFERENCE, 3, level="word"), "--ngram: goes with --level char, not word"),
        (
            lambda: jsd.score_lines(SAMPLES, REFERENCE, lower_case=True),
            "--lower-case: goes with --level word, not char",
        ),
        (lambda: report.score_lines(SAMPLES, REFERENCE, words="all"), "--words 'all': choose from punctuation, w"),  # type: ignore[arg-type]
        (lambda: report.score_lines(SAMPLES, REFERENCE, ["jds"]), "--metrics jds: not a text metric; choose from jsd"),
    ],
)
def test_a_mistake_is_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as raised:
        call()
    assert "\n" not in str(raised.value)
