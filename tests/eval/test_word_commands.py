import json
from pathlib import Path
from typing import Any

import pytest

from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from eval import bleu, diversity, memorisation, ms_jaccard
from eval.text.reference import ReferenceOptions, reference_record
from tests.helpers.commands import jsd_of_words
from tests.helpers.text import held_out_by_checksum, random_lines, write_lines

COMMANDS = {
    "bleu": bleu.main,
    "diversity": diversity.main,
    "jsd": jsd_of_words,
    "memorisation": memorisation.main,
    "ms_jaccard": ms_jaccard.main,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_floor_is_what_as_many_real_lines_score(
    tmp_path: Path, text_file: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    lines = text_file.read_text("utf-8").splitlines()
    samples = write_lines(tmp_path / "samples.txt", lines[1:80:2])
    real = write_lines(tmp_path / "real.txt", random_lines(40, seed=1, alphabet="cdé"))
    fewer = write_lines(tmp_path / "fewer.txt", lines[:39])
    flags = ["--reference", str(text_file), "--json"]

    def printed(*arguments: str) -> list[dict[str, Any]]:
        assert COMMANDS[command]([*arguments, *flags]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return found

    alone, floor = printed(samples), printed(real)
    for ours, theirs, plain in zip(printed(samples, "--held-out", real), floor, alone, strict=True):
        assert list(ours["scores"]) == list(theirs["scores"])
        for name, value in ours["scores"].items():
            assert value["floor"] == theirs["scores"][name]["value"] != value["value"]
            assert {**value, "floor": None} == plain["scores"][name]
    # Nor is there a floor from fewer lines than samples.
    assert printed(samples, "--held-out", fewer) == alone


def test_no_more_real_lines_than_samples_make_the_floor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = write_lines(tmp_path / "samples.txt", ["a b"] * 10)
    real = write_lines(tmp_path / "real.txt", ["c d"] * 30)
    assert diversity.main([samples, "--reference", samples, "--held-out", real, "--json"]) == 0
    distinct = json.loads(capsys.readouterr().out)[0]["scores"]
    assert distinct["distinct-1"]["floor"] == pytest.approx(2 / 20, abs=1e-15)  # of all 30: 2 / 60
    assert distinct["distinct-2"]["floor"] == pytest.approx(1 / 10, abs=1e-15)


def test_the_recorded_references_own_held_out_lines_make_the_floor(
    tmp_path: Path, text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = text_file.read_text("utf-8").splitlines()
    held_out = held_out_by_checksum(lines)
    train = [line for line in lines if line not in set(held_out)]
    samples = tmp_path / "samples.txt"
    write_lines(samples, lines[: len(held_out)])
    options = CorpusOptions(str(text_file))
    record = reference_record(ReferenceOptions(options), open_corpus(options))
    samples.with_name("samples.txt.reference.json").write_text(json.dumps(record), "utf-8")
    assert memorisation.main([str(samples), "--json"]) == 0
    known, copied = json.loads(capsys.readouterr().out)
    words = [word for line in held_out for word in line.split()]
    assert known["scores"]["known-words"]["floor"] == pytest.approx(
        sum(word in set(" ".join(train).split()) for word in words) / len(words), abs=1e-15
    )
    assert copied["scores"]["copied-lines"]["floor"] == 0.0
    assert copied["scores"]["copied-lines"]["value"] == sum(
        line in set(train) for line in lines[: len(held_out)]
    ) / len(held_out)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--lines", "0"], "--lines 0: must be at least 1"),
        (["--reference", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--reference", "blank.txt"], "blank.txt: no words"),
        (["--held-out", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--held-out", "empty.txt"], "empty.txt: no lines"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, flags: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(Path("text.txt"), ["a b", "b a"])
    write_lines(Path("blank.txt"), ["", ""])
    Path("empty.txt").touch()
    arguments = flags if "--reference" in flags else ["--reference", "text.txt", *flags]
    with pytest.raises(InputError, match=message):
        COMMANDS[command](["text.txt", *arguments])


@pytest.mark.parametrize("command", COMMANDS)
def test_no_samples_are_refused(tmp_path: Path, command: str) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    with pytest.raises(InputError, match=r"empty\.txt: the file is empty; give one sample per line"):
        COMMANDS[command]([str(empty), "--reference", str(empty)])
