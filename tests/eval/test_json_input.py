"""Scores of JSON Lines and of several references equal the scores of text files with the same lines."""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from eval import bleu, diversity, jsd, likelihood, memorisation, ms_jaccard, overlap, report
from eval.ngrams import main as ngrams
from tests.helpers.commands import jsd_of_words
from tests.helpers.text import short_lines, write_lines

COMMANDS = (
    jsd.main, jsd_of_words, overlap.main, likelihood.main, bleu.main, ms_jaccard.main, diversity.main,
    memorisation.main,
)  # fmt: skip

Printed = Callable[..., Any]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Return the scores that a command prints, without the name of the reference."""

    def run(main: Callable[[list[str]], int], *arguments: object) -> Any:
        capsys.readouterr()
        assert main([*map(str, arguments), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        for score in found if isinstance(found, list) else chain(*found.values()):
            name = score.pop("reference").partition(" (")[0]
            score["signature"] = score["signature"].replace(f"{name}@", "@")
        return found

    return run


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with samples and real text as text and as JSON Lines, the real text also in two parts."""
    lines = short_lines()
    samples, real = [" ".join(line.split()[:4]) for line in lines[:60]], lines[100:400]
    for name, kept in (("samples", samples), ("real", real), ("part-1", real[:120]), ("part-2", real[120:])):
        write_lines(tmp_path / f"{name}.txt", kept)
        write_lines(tmp_path / f"{name}.jsonl", [json.dumps({"id": "-", "of": {"text": line}}) for line in kept])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("main", COMMANDS, ids=lambda main: main.__module__)
def test_every_metric_reads_fields_and_several_references(
    main: Callable[[list[str]], int], place: Path, printed: Printed
) -> None:
    expected = printed(main, "samples.txt", "--reference", "real.txt")
    parts = ("--reference", "part-1.txt", "--reference", "part-2.jsonl", "--field", "of.text")
    assert printed(main, *parts, "samples.jsonl") == expected


def test_a_reference_may_name_its_own_field(place: Path, printed: Printed) -> None:
    expected = printed(bleu.main, "samples.txt", "--reference", "real.txt")
    assert printed(bleu.main, "samples.txt", "--reference", "jsonl:real.jsonl:of.text") == expected
    assert printed(bleu.main, "samples.txt", "--reference", "part-1.txt") != expected  # known to be wrong: one of two


def test_a_report_mixes_text_and_json_lines(place: Path, printed: Printed) -> None:
    flags = ("--reference", "part-1.txt", "--reference", "part-2.txt", "--metrics", "diversity", "memorisation")
    held = ("--field", "of.text", "--held-out", "real.jsonl")
    found = printed(report.main, "samples.txt", "samples.jsonl", *flags, *held)
    assert found["samples.txt"][0]["scores"]["distinct-2"]["floor"] is not None
    values = [{name: value["value"] for score in file for name, value in score["scores"].items()}
              for file in found.values()]  # fmt: skip
    assert values[0] == values[1]


def test_an_outside_text_may_be_the_only_json_lines(place: Path, printed: Printed) -> None:
    flags = ("samples.txt", "--reference", "real.txt", "--metrics", "perplexity", "--outside")
    found = printed(report.main, *flags, "part-1.jsonl", "--field", "of.text")["samples.txt"]
    expected = printed(report.main, *flags, "part-1.txt")["samples.txt"]
    assert [score["scores"] for score in found] == [score["scores"] for score in expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("samples.jsonl", "--reference", "real.txt"), r"samples\.jsonl: JSON Lines; .*--field NAME: id, of\.text$"),
        (("samples.txt", "--reference", "real.jsonl"), r"real\.jsonl: JSON Lines; .*--field NAME: id, of\.text$"),
        (("samples.txt", "--reference", "real.txt", "--held-out", "real.jsonl"), r"real\.jsonl: JSON Lines"),
        (("samples.jsonl", "--reference", "real.txt", "--field", "text"), r"samples\.jsonl:1: no field 'text'"),
        (("samples.txt", "--reference", "real.txt", "--field", "text"), "--field text: no input is JSON Lines"),
        (("samples.txt", "--reference", "real.txt", "--reference", "real.txt"), r"real\.txt: given twice"),
        (
            ("samples.txt", "--reference", "real.ngrams", "--reference", "real.txt"),
            "saved counts are a reference alone",
        ),
        (("samples.txt", "--reference", "real.txt", "--reference", "none.txt"), r"none\.txt: no such file"),
        (
            ("list.jsonl", "--reference", "real.jsonl", "--field", "of.text"),
            r"list\.jsonl: line 1: not a JSON object; write one object per line",
        ),
        (("samples.json", "--reference", "real.txt"), r"samples\.json: JSON Lines; .*--field NAME: id, of\.text$"),
        (("-", "--reference", "real.txt"), r"-: JSON Lines; .*--field NAME: id, of\.text$"),
        (("-", "--reference", "jsonl:-:of.text", "--field", "of.text"), "-: the same input as -, which"),
        (("-", "--reference", 'pool:["real.txt", "-"]'), "-: the same input as -, which"),
        (
            ("samples.txt", "--reference", "real.jsonl", "--field", "a:b"),
            "--field a:b: a field of .*jsonl cannot have",
        ),
    ],
)
def test_input_that_cannot_be_used_is_refused(
    place: Path, standard_input: Callable[[bytes], None], arguments: tuple[str, ...], message: str
) -> None:
    assert ngrams(["build", "real.txt", "--ngram", "2", "--output", "real.ngrams"]) == 0
    content = Path("samples.jsonl").read_text("utf-8")
    Path("samples.json").write_text(content, "utf-8")
    Path("list.jsonl").write_text(f'["header"]\n{content}', "utf-8")
    standard_input(content.encode())
    with pytest.raises(InputError, match=message):
        jsd.main(list(arguments))
