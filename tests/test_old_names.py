"""Commands under their old names: a note, and what the new command does."""

import json
import runpy
import sys
import warnings
from pathlib import Path

import pytest

from eval.core.timing import Result
from images.config import ImageConfig
from images.train import IMAGES
from tests.helpers.commands import MOVED
from tests.helpers.paths import ROOT
from textgan.engine.run_folder import read_options
from textgan.suite import configs_of, read_suite
from textgan.train import TEXT

RUNS = Path(__file__).with_name("textgan") / "runs_423dd7f"


def run_as_process(module: str, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", [module, *arguments])
        with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):  # modules may be imported already
            runpy.run_module(module, run_name="__main__")
    status = stop.value.code
    assert isinstance(status, int)
    return status, *capfd.readouterr()


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_does_what_the_new_command_does_with_a_note(
    old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("the cat sat\na dog ran\n" * 20, "utf-8")
    Path("samples.txt").write_text("the dog sat\na cat ran\n" * 3, "utf-8")
    new, arguments = MOVED[old]
    module, *first = new.split()
    status, out, err = run_as_process(old, arguments, capfd)
    expected_status, expected, quiet = run_as_process(module, [*first, *arguments], capfd)
    assert (status, err) == (expected_status, f"note: {old} is now {new}\n{quiet}")
    assert status == 0 or "halves of 5 images do not fill two batches" in err
    if "bench encoding" in new:  # it prints times
        out, expected = ("\n".join(line[:30] for line in text.splitlines()) for text in (out, expected))
    assert out == expected


def test_evaluators_are_timed_without_a_subcommand_as_before(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str | int, ...]] = []

    def record(*sizes: str | int) -> list[Result]:
        given.append(sizes)
        return []

    for name in ("build", "score", "dictionaries", "self_bleu"):
        monkeypatch.setattr(f"eval.text.bench.bench_{name}", record)
    sizes = "--lines 400 --dictionary-lines 700 --self-bleu-lines 20 --nltk-lines 2 --frechet-dims 20 --json"
    status, out, _ = run_as_process("eval.bench", sizes.split(), capfd)
    assert status == 0
    assert [size for sizes in given for size in sizes if isinstance(size, int)] == [400, 400, 700, 20, 2]
    assert [result["name"] for result in json.loads(out)] == ["Fréchet distance, 20 dimensions"]


def test_shims_are_no_more_than_a_name() -> None:
    for module in MOVED:
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
        assert len([line for line in source.splitlines() if line]) <= 5


def test_settings_under_old_names_work_in_suites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text('seeds = [0]\n[[method]]\npreset = "quickstart"\ngenerator_average = 0.5\n', "utf-8")
    (config,) = configs_of(TEXT, *read_suite(suite), tmp_path)
    assert config.generator_ema == 0.5
    assert capsys.readouterr().err == "note: setting generator_average is now generator_ema\n"
    suite.write_text(
        'seeds = [0]\n[[method]]\npreset = "wgan-gp-cifar10-ttur"\nfaults = "paper-compat"\ndata = "shapes"\n', "utf-8"
    )
    (images,) = configs_of(IMAGES, *read_suite(suite), tmp_path)
    assert isinstance(images, ImageConfig)
    assert images.compat == "paper"


def test_runs_of_the_first_version_have_the_new_names_of_their_settings() -> None:
    text, images = (read_options(RUNS / name)["config"] for name in ("text-finished", "images-finished"))
    assert (text["generator_ema"], images["generator_ema"], images["compat"]) == (0.99, 0.995, "corrected")
    assert not {"generator_average", "faults"} & (text.keys() | images.keys())
