"""Commands run in this process as users type them, and what they print."""

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data.command import run_command
from eval import jsd, overlap
from eval.text.cli import CharacterFlags, chosen_text
from eval.text.reference import Reference
from tests.helpers.text import write_lines
from textgan.__main__ import main as console

# Commands under their old names: what they are called now, and arguments that work.
MOVED = {
    "data.pictures": ("data.images", ["shapes", "--count", "4"]),
    "data.bench": ("eval.bench encoding", ["--lines", "50"]),
    "eval.word_jsd": ("eval.jsd --level word", ["samples.txt", "--reference", "text.txt"]),
    "eval.feature_bench": ("eval.bench images", ["shapes", "--count", "10", "--batch-size", "3"]),
    "textgan.controls": ("textgan.suite controls", ["--preset", "ttur-small", "--output", "c.toml"]),
    "images.controls": ("images.suite controls", ["--preset", "ttur-small", "--output", "c.toml"]),
}


def chosen_reference(flags: CharacterFlags, samples: Path) -> Reference:
    """Return the reference for character metrics that a command's flags choose."""
    return chosen_text(flags, samples, ["jsd"]).require_characters()


def command_module(module: str) -> Any:
    """Return the module that `python -m module` runs."""
    found = importlib.import_module(module)
    return found if hasattr(found, "main") else importlib.import_module(f"{module}.__main__")


def run(capfd: pytest.CaptureFixture[str], module: str, *arguments: str) -> tuple[int, str, str]:
    """Run `python -m module arguments` in this process; return status, standard output and standard error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, *arguments])
        with pytest.raises(SystemExit) as stop:
            run_command(command_module(module).main)
    captured = capfd.readouterr()
    status = stop.value.code
    assert isinstance(status, int)
    return status, captured.out, captured.err


def fid_scores(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    """Run `python -m eval.fid arguments --json`, which must succeed, and return the scores."""
    status, out, err = run(capfd, "eval.fid", *arguments, "--json")
    assert status == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


def run_console(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run `textgan arguments` in this process; return status, standard output and standard error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["textgan", *arguments])
        with pytest.raises(SystemExit) as stop:
            console()
    captured = capfd.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, captured.out, captured.err


def jsd_of_words(arguments: list[str]) -> int:
    """Run `eval.jsd --level word`."""
    return jsd.main([*arguments, "--level", "word"])


def overlap_scores(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> dict[str, dict[str, Any]]:
    """Run `eval.overlap` and return all its values by name."""
    capsys.readouterr()
    assert overlap.main([*arguments, "--json"]) == 0
    return {name: value for score in json.loads(capsys.readouterr().out) for name, value in score["scores"].items()}


def values_of(scores: dict[str, dict[str, Any]], key: str = "value") -> dict[str, float]:
    return {name: estimate[key] for name, estimate in scores.items()}


def command_line(folder: Path, samples: Sequence[str], references: Sequence[str], real: Sequence[str]) -> list[str]:
    """Write samples, reference and real text for the floor; return the command's arguments."""
    files = {"samples": samples, "text": references, "real": real}
    written = [write_lines(folder / f"{name}.txt", lines) for name, lines in files.items()]
    return [written[0], "--reference", written[1], "--held-out", written[2]]


def value_and_floor(table: str, name: str) -> tuple[str, str]:
    """Return the value and the floor of a score in a printed table."""
    (row,) = (row.split() for row in table.splitlines() if row.startswith(f"{name}  "))
    return row[1], row[-1]
