"""A folder counted file by file equals the folder counted in one piece; `tests/textgan/test_ray.py` does it on Ray."""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from eval.ngrams import main
from eval.text import part_counts
from eval.text.reference_counts import load_counts
from tests.helpers.text import folder_of_parts

SIZES = ("--ngram", "4", "--seq-len", "10")


def in_this_process(items: Sequence[str], count: Callable[[str], Any], join: Callable[[Any, Any], Any]) -> Any:
    return reduce(join, map(count, reversed(items)))


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_counts, "ray_cluster", lambda _address: nullcontext())
    monkeypatch.setattr(part_counts, "reduce_on_ray", in_this_process)


def hashes(folder: Path, *flags: str) -> Any:
    """Return the SHA-256 of each file of counts, by name, and facts about the text."""
    output = folder.with_name(f"{len(list(folder.parent.iterdir()))}.ngrams")
    assert main(["build", str(folder), *SIZES, *flags, "--output", str(output)]) == 0
    manifest = json.loads((output / "ngrams.json").read_text("utf-8"))
    return {name: manifest[name] for name in ("sha256", "name", "lines", "characters", "vocabulary_limit", "ngrams")}


@pytest.mark.parametrize("flags", [[], ["--padding", "out"], ["--vocabulary-size", "5"]])
def test_the_files_of_a_folder_count_as_the_whole(tmp_path: Path, flags: list[str]) -> None:
    folder = folder_of_parts(tmp_path / "corpus")
    whole = hashes(folder, *flags)
    assert hashes(folder, "--executor", "ray", *flags) == whole
    assert len(whole["sha256"]) == 8
    (folder / "one more.txt").write_text("x\n", "utf-8")
    assert hashes(folder, "--executor", "ray", *flags)["sha256"] != whole["sha256"]


def test_parts_of_a_small_vocabulary_would_not_give_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of_parts(tmp_path / "corpus")
    monkeypatch.setattr(part_counts, "CODE_POINTS", 5)  # wrong: each part drops other characters
    with pytest.raises(InputError, match="more characters than the vocabulary was allowed"):
        hashes(folder, "--executor", "ray", "--vocabulary-size", "5")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--executor", "ray"], "--executor ray: merged counts are not cached; name a folder for them with --output"),
        (["--executor", "ray", "--lines", "3", "--output", "o"], "--lines: files counted apart"),
        (["--address", "auto"], "--address auto: only with --executor ray"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(tmp_path: Path, flags: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main(["build", str(folder_of_parts(tmp_path / "corpus")), *SIZES, *flags])


def test_texts_without_such_ngrams_are_refused_as_in_one_piece(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, content in (("empty.txt", ""), ("short.txt", "abc\n\nab\n")):
        (folder / name).write_text(content, "utf-8")
    for executor in ("inline", "ray"):
        with pytest.raises(InputError, match="corpus: every line is shorter than n = 4; lower --ngram"):
            hashes(folder, "--executor", executor)
    (folder / "short.txt").unlink()
    with pytest.raises(InputError, match="corpus: no lines"):
        hashes(folder, "--executor", "ray")
    with pytest.raises(InputError, match=r"--executor ray: counts the files .*empty\.txt is none"):
        hashes(folder / "empty.txt", "--executor", "ray")


def test_merged_counts_are_a_reference(tmp_path: Path) -> None:
    folder = folder_of_parts(tmp_path / "corpus")
    assert main(["build", str(folder), *SIZES, "--executor", "ray", "--output", str(tmp_path / "w.ngrams")]) == 0
    text = load_counts(tmp_path / "w.ngrams")
    assert (text.name, text.lines, text.counts[1].total) == ("corpus", 32, 32 * 10)
