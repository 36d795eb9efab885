import shlex
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import note
from data.naming import as_command, printable, shortest_different
from tests.helpers.text import ODD_TEXT


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.txt", "plain name.txt"),
        ("модель 漢字 é 👨\u200d👩", "модель 漢字 é 👨\u200d👩"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x9b31m", r"\xc2\x9b31m"),
        ("txt.\u202egpj", r"txt.\xe2\x80\xaegpj"),
        ("caf\udce9.txt", r"caf\xe9.txt"),
        ("\ud800", r"\xed\xa0\x80"),
    ],
)
def test_nothing_of_a_name_moves_a_terminal(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert printable(Path("a\nb")) == r"a\nb"


@pytest.mark.fuzz
@given(ODD_TEXT)
def test_a_name_is_one_line_that_every_encoding_of_unicode_takes(name: str) -> None:
    shown = printable(name)
    assert len(shown.splitlines()) <= 1
    assert all(character.isprintable() for character in shown)
    shown.encode()


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["a/500.txt", "b/500.txt", "b/600.txt"], ["a/500.txt", "b/500.txt", "600.txt"]),
        (["500.txt", "a/500.txt"], ["500.txt", "a/500.txt"]),
        (["/x/a/s/1.txt", "/x/b/s/1.txt"], ["a/s/1.txt", "b/s/1.txt"]),
        (["/1.txt", "x/1.txt"], ["/1.txt", "x/1.txt"]),
        (["deep/down/1.txt"], ["1.txt"]),
        (["-", "a/-"], ["-", "a/-"]),
        ([], []),
    ],
)
def test_paths_are_told_apart_by_their_shortest_ends(paths: list[str], labels: list[str]) -> None:
    assert shortest_different(paths) == labels


@pytest.mark.fuzz
@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join), min_size=1, unique=True))
def test_different_paths_have_different_labels(paths: list[str]) -> None:
    labels = shortest_different(paths)
    assert all(first != second for first, second in combinations(labels, 2))
    for path, label in zip(paths, labels, strict=True):
        assert f"/{path}".endswith(f"/{label}")


@pytest.mark.fuzz
@given(st.lists(ODD_TEXT.map(lambda name: name.replace("\x00", "")), min_size=1, max_size=4))
def test_a_shell_reads_the_words_that_were_meant(words: list[str]) -> None:
    command = as_command("printf", r"%s\0", *words)
    assert command.isprintable()
    if any(printable(word) != word for word in words):  # $'...', which shlex does not read
        found = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
        assert found.decode("utf-8", "surrogateescape").split("\x00")[:-1] == words
    else:
        assert shlex.split(command) == ["printf", r"%s\0", *words]


def test_a_path_is_no_flag() -> None:
    assert as_command("python", "-m", "eval.jsd", Path("-x y.txt")) == "python -m eval.jsd './-x y.txt'"
    assert as_command("python", Path("-")) == "python ./-"
    assert as_command("python", Path("runs/lr[1]"), "a$b", "") == "python 'runs/lr[1]' 'a$b' ''"


def test_a_note_is_one_line_that_no_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    note("two\nlines\x1b[31m.txt: caf\udce9")
    assert capsys.readouterr().err == "note: two\\nlines\\x1b[31m.txt: caf\\xe9\n"
