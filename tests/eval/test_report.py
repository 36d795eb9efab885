import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data.errors import InputError
from eval import bleu, diversity, jsd, likelihood, memorisation, ms_jaccard, overlap
from eval.core.score import Estimate, Score, Signature
from eval.ngram_sampler import main as sample_ngrams
from eval.ngrams import main as ngrams_main
from eval.report import main
from eval.text.report_tables import rendered
from tests.helpers.commands import jsd_of_words
from tests.helpers.text import short_lines, write_lines

WORD_METRICS = (jsd_of_words, bleu.main, ms_jaccard.main, diversity.main, memorisation.main)
COMPARED = ("baseline", "difference", "difference_low", "difference_high", "p_value", "verdict", "detectable",
            "best_rank", "worst_rank")  # fmt: skip
WITHOUT_COMMAND = ["entropy", "repetition", "zipf", "length-distance", "copied-ngrams", "c2st"]
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


def alone(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a file's scores in a report of several files without the comparison with the others."""
    for score in scores:
        for value in score["scores"].values():
            for name in COMPARED:
                del value[name]
    return scores


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
        assert alone(found[str(file)][: len(said)]) == said
        assert [score["metric"] for score in found[str(file)][len(said) :]] == WITHOUT_COMMAND
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
    """Return a score per file with standard error 0.03 and 8 degrees of freedom; differences of 0.098 are told."""
    return {
        f"{number}.txt": [
            Score(
                "toy", {"toy-1": Estimate(value, value - 0.1, value + 0.1, floor=0.5, error=0.03, freedom=8)}, "share",
                "lower" if better == "lower" else "higher", 9, "real", Signature("toy", {"samples": 9}),
            )
        ]
        for number, value in enumerate(values)
    }  # fmt: skip


def test_the_best_of_a_row_is_marked() -> None:
    row = next(line for line in rendered(toy("lower", 0.25, 0.75), "text").splitlines() if line.startswith("toy-1"))
    assert " ".join(row.split()) == "toy-1 v 0.2500* (0.1500 .. 0.3500) 0.7500 (0.6500 .. 0.8500) 0.5000"
    row = next(
        line for line in rendered(toy("higher", 0.25, 0.75), "markdown").splitlines() if line.startswith("| toy-1")
    )
    assert row == "| toy-1 | ^ | 0.2500 (0.1500 .. 0.3500) | **0.7500** (0.6500 .. 0.8500) | 0.5000 |"
    assert "*" not in rendered(toy("lower", 0.25), "text")
    for values in ((0.5, 0.5), (0.5, 0.45), (0.5, 0.3, 0.31)):  # the lowest value alone is no reason
        assert "00*" not in rendered(toy("lower", *values), "text")
    assert "toy|samples:9|v:" in rendered(toy("lower", 0.5), "markdown")


def table_of(shown: str, title: str) -> list[list[str]]:
    """Return the cells of the Markdown table below a title."""
    rows = shown.partition(title)[2].split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_differences_are_from_the_baseline_and_named_better_only_if_told() -> None:
    files = toy("lower", 0.25, 0.75, 0.3)
    assert table_of(rendered(files, "markdown"), "differences from 0.txt") == [
        ["", "1.txt", "2.txt", "detectable"],
        ["---", "---", "---", "---"],
        ["toy-1", "+0.5000 (0.4101 .. 0.5899) worse", "+0.0500 (-0.0399 .. 0.1399) cannot be told", "0.1266"],
    ]
    head, _, row = table_of(rendered(files, "markdown", baseline=1), "differences from 1.txt")
    assert head == ["", "0.txt", "2.txt", "detectable"]
    assert row[1:3] == ["-0.5000 (-0.5899 .. -0.4101) better", "-0.4500 (-0.5399 .. -0.3601) better"]
    _, _, row = table_of(rendered(toy("higher", 0.25, 0.75), "markdown"), "differences from 0.txt")
    assert row[1] == "+0.5000 (0.4101 .. 0.5899) better"
    ranks = table_of(rendered(files, "markdown"), "ranks that the tests of all pairs allow")
    assert ranks[2] == ["toy-1", "1-2", "3", "1-2"]
    assert "ranks" not in rendered(toy("lower", 0.25, 0.75), "markdown")
    assert "differences" not in rendered(toy("lower", 0.25), "markdown")
    whole = {name: value["scores"]["toy-1"] for name, (value,) in json.loads(rendered(files, "json")).items()}
    assert [value["verdict"] for value in whole.values()] == [None, "worse", "cannot be told"]
    assert [(value["best_rank"], value["worst_rank"]) for value in whole.values()] == [(1, 2), (3, 3), (1, 2)]
    assert whole["2.txt"]["difference"] == pytest.approx(0.05, rel=1e-12)
    assert set(COMPARED).isdisjoint(json.loads(rendered(toy("lower", 0.25), "json"))["0.txt"][0]["scores"]["toy-1"])
    unknown = {name: [replace(score[0], values={"toy-1": Estimate(score[0].values["toy-1"].value)})]
               for name, score in files.items()}  # fmt: skip
    _, _, row = table_of(rendered(unknown, "markdown"), "differences from 0.txt")
    assert row[1:] == ["+0.5000 spread unknown", "+0.0500 spread unknown", "-"]


def test_a_baseline_is_one_of_the_files(files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--reference", text_file, "--metrics", "diversity", "--json")
    good, bad = (json.loads(run(capsys, *files, *flags, "--baseline", file)) for file in files)
    name = "distinct-2"
    forth, back = good[str(files[1])][0]["scores"][name], bad[str(files[0])][0]["scores"][name]
    assert forth["baseline"] == str(files[0])
    assert forth["difference"] == -back["difference"] == forth["value"] - back["value"]
    with pytest.raises(InputError, match=r"--baseline .*text\.txt: not among the files; add it to them"):
        main([*map(str, files), "--baseline", str(text_file.with_name("text.txt"))])


def test_files_with_equal_lines_cannot_be_told(
    files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = text_file.with_name("copy.txt")
    copy.write_bytes(files[0].read_bytes())
    rows = list(csv.DictReader(io.StringIO(
        run(capsys, files[0], copy, "--reference", text_file, "--ngram", 3, "--format", "csv")
    )))  # fmt: skip
    assert {row["verdict"] for row in rows} == {"", "cannot be told"}
    assert {row["difference"] for row in rows} == {"", "0.0"}
    assert {(row["best_rank"], row["worst_rank"]) for row in rows} == {("1", "2")}


def test_markdown_is_a_table(files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, *files, "--reference", text_file, "--format", "markdown").splitlines()
    assert lines[0] == "|  |  | good.txt | bad.txt | real text |"
    table = [line for line in lines[: lines.index("")] if line.startswith("|")]
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
    single = json.loads(run(capsys, short, "--reference", text_file, "--format", "json"))
    assert alone(both[str(short)]) == single[str(short)]
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


def test_the_recorded_reference_of_any_file_is_that_of_all(
    files: list[Path], text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report without --reference does not depend on the order of the files."""
    sampled, other = text_file.with_name("sampled.txt"), text_file.with_name("other.txt")
    write_lines(other, short_lines()[400:800])
    assert sample_ngrams([str(text_file), "--count", "120", "--seq-len", "32", "--output", str(sampled)]) == 0
    capsys.readouterr()
    first, second = (
        json.loads(run(capsys, *order, "--metrics", "jsd", "--json"))
        for order in ([sampled, files[0]], [files[0], sampled])
    )
    for path in map(str, (sampled, files[0])):
        assert alone(first[path]) == alone(second[path])
    assert sample_ngrams([str(other), "--count", "120", "--seq-len", "32", "--output", str(files[1])]) == 0
    with pytest.raises(InputError, match=r"sampled\.txt and .*bad\.txt: different real text .* --reference"):
        main([str(sampled), str(files[1])])
    assert main([str(sampled), str(files[1]), "--reference", str(text_file), "--metrics", "jsd"]) == 0


def test_no_file_is_a_mistake() -> None:
    with pytest.raises(InputError, match="no samples"):
        main(["--reference", "grammar"])
