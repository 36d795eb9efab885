import csv
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from data.errors import InputError
from eval import bleu, diversity, jsd, likelihood, memorisation, ms_jaccard, overlap
from eval.core.score import Estimate, Score, Signature
from eval.ngrams import main as ngrams_main
from eval.report import main, rendered
from tests.helpers.commands import jsd_of_words
from tests.helpers.text import short_lines, write_lines

WORD_METRICS = (jsd_of_words, bleu.main, ms_jaccard.main, diversity.main, memorisation.main)
METRICS = (jsd.main, overlap.main, likelihood.main, *WORD_METRICS)


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """400 different short lines."""
    return Path(write_lines(tmp_path / "text.txt", short_lines()[:400]))


@pytest.fixture
def files(text_file: Path) -> list[Path]:
    """Two files of samples: real lines, and lines of the same words in disorder."""
    lines = text_file.read_text("utf-8").splitlines()[:120]
    good, bad = text_file.with_name("good.txt"), text_file.with_name("bad.txt")
    good.write_text("\n".join(lines), "utf-8")
    bad.write_text("\n".join(" ".join(sorted(line.split(), key=lambda word: word[::-1])) for line in lines), "utf-8")
    return [good, bad]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_the_report_holds_what_the_commands_say(
    files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(run(capsys, *files, "--reference", text_file, "--ngram", 4, "--format", "json"))
    assert list(found) == [str(file) for file in files]
    for file in files:
        said = []
        for metric in METRICS:
            flags = ["--ngram", "4"] if metric in METRICS[:3] else []
            assert metric([str(file), "--reference", str(text_file), *flags, "--json"]) == 0
            said += json.loads(capsys.readouterr().out)
        assert found[str(file)][: len(said)] == said
        assert [score["metric"] for score in found[str(file)][len(said) :]] == ["entropy"]
        names = [name for score in said for name in score["scores"]]
        assert {"jsd-4", "recall-2", "quality", "coverage", "word-jsd-3", "bleu-5", "self-bleu-2"} < set(names)
        assert {"ms-jaccard-5", "distinct-4", "duplicates", "known-words", "copied-lines"} < set(names)


def test_csv_has_a_line_for_each_value(files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(csv.DictReader(io.StringIO(run(capsys, *files, "--reference", text_file, "--format", "csv"))))
    found = json.loads(run(capsys, *files, "--reference", text_file, "--format", "json"))
    expected = [
        (file, name, value, score["signature"])
        for file, scores in found.items()
        for score in scores
        for name, value in score["scores"].items()
    ]
    assert [(line["file"], line["name"], line["signature"]) for line in lines] == [
        (file, name, signature) for file, name, _, signature in expected
    ]
    for line, (_, _, value, _) in zip(lines, expected, strict=True):
        for column in ("value", "low", "high", "corrected", "floor"):
            assert line[column] == ("" if value[column] is None else repr(value[column]))


def toy(better: str, *values: float) -> dict[str, list[Score]]:
    return {
        f"{number}.txt": [
            Score(
                "toy", {"toy-1": Estimate(value, value - 0.1, value + 0.1, floor=0.5)}, "share",
                "lower" if better == "lower" else "higher", 9, "real", Signature("toy", {"samples": 9}),
            )
        ]
        for number, value in enumerate(values)
    }  # fmt: skip


def test_the_best_of_a_row_is_marked() -> None:
    (row,) = [line for line in rendered(toy("lower", 0.25, 0.75), "text").splitlines() if line.startswith("toy-1")]
    assert " ".join(row.split()) == "toy-1 v 0.2500* (0.1500 .. 0.3500) 0.7500 (0.6500 .. 0.8500) 0.5000"
    (row,) = [
        line for line in rendered(toy("higher", 0.25, 0.75), "markdown").splitlines() if line.startswith("| toy-1")
    ]
    assert row == "| toy-1 | ^ | 0.2500 (0.1500 .. 0.3500) | **0.7500** (0.6500 .. 0.8500) | 0.5000 |"
    assert "*" not in rendered(toy("lower", 0.25), "text").split("v lower")[0]
    assert rendered(toy("lower", 0.5, 0.5), "text").count("0.5000*") == 2
    assert "toy|samples:9|v:" in rendered(toy("lower", 0.5), "markdown")


def test_markdown_is_a_table(files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, *files, "--reference", text_file, "--format", "markdown").splitlines()
    assert lines[0] == "|  |  | good.txt | bad.txt | real text |"
    table = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table} == {6}
    (word_jsd_row,) = [line for line in table if line.startswith("| word-jsd-2 |")]
    assert re.match(r"\| word-jsd-2 \| v \| \*\*[\d.]+\*\* \([\d.]+ \.\. [\d.]+\) \| [\d.]+ \(", word_jsd_row)


def test_a_figure_is_drawn(files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = text_file.with_name("report.png")
    run(capsys, *files, "--reference", text_file, "--metrics", "jsd", "bleu", "--plot", figure)
    with Image.open(figure) as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 50  # something is drawn, in colour
    svg = text_file.with_name("report.svg")
    drawn = []
    for _ in range(2):
        run(capsys, *files, "--reference", text_file, "--metrics", "jsd", "--plot", svg)
        drawn.append(svg.read_bytes())
    assert drawn[0] == drawn[1]
    with pytest.raises(InputError, match=r"--plot .*report\.jpg: must end in \.png, \.svg, \.pdf"):
        main([*map(str, files), "--reference", str(text_file), "--plot", str(text_file.with_name("report.jpg"))])
    assert not text_file.with_name("report.jpg").exists()


def test_different_sample_counts_do_not_compare(
    files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = text_file.with_name("short.txt")
    short.write_text("\n".join(files[0].read_text("utf-8").splitlines()[:50]), "utf-8")
    with pytest.raises(InputError, match=r"different sample counts.*good\.txt 120.*short\.txt 50.*pass --count 50"):
        main([str(files[0]), str(short), "--reference", str(text_file)])
    with pytest.raises(InputError, match="--count 51: must be from 2 to 50"):
        main([str(files[0]), str(short), "--reference", str(text_file), "--count", "51"])
    flags = ("--reference", text_file, "--count", 50, "--format", "json")
    both = json.loads(run(capsys, files[0], short, *flags))
    assert both[str(short)] == json.loads(run(capsys, short, "--reference", text_file, "--format", "json"))[str(short)]
    assert all(score["samples"] == 50 for score in both[str(files[0])])


def test_held_out_lines_are_the_last_column(
    files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--reference", text_file, "--held-out", files[1], "--format", "json")
    (scores,) = json.loads(run(capsys, files[0], *flags)).values()
    (others,) = json.loads(run(capsys, files[1], *flags)).values()
    floors = {name: value["floor"] for score in scores for name, value in score["scores"].items()}
    values = {name: value["value"] for score in others for name, value in score["scores"].items()}
    # What coverage scores are the held-out lines themselves, so its floor is that of reference lines.
    del floors["coverage"], values["coverage"]
    assert floors == pytest.approx(values, abs=1e-12)


def test_saved_counts_and_counts_without_padding_leave_out_what_they_do_not_know(
    files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = text_file.with_name("text.ngrams")
    assert ngrams_main(["build", str(text_file), "--ngram", "3", "--output", str(counts)]) == 0
    capsys.readouterr()
    (scores,) = json.loads(run(capsys, files[0], "--reference", counts, "--format", "json")).values()
    assert [score["metric"] for score in scores] == ["jsd", "precision", "recall", "cosine", "quality"]
    flags = ("--reference", text_file, "--padding", "out", "--format", "json")
    (scores,) = json.loads(run(capsys, files[0], *flags)).values()
    metrics = [score["metric"] for score in scores]
    assert metrics[:5] == ["jsd", "precision", "recall", "cosine", "word-jsd"]


def test_no_file_is_a_mistake() -> None:
    with pytest.raises(InputError, match="no samples"):
        main(["--reference", "grammar"])
