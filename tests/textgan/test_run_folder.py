import json
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import InputError
from data.files import write_json
from images.config import PRESETS as IMAGE_PRESETS
from tests.helpers.runs import PRESETS, write_run
from textgan.engine.run_folder import find_runs, read_metrics, read_options
from textgan.engine.settings import Settings


def test_options_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [], floor={"jsd_4": 0.25}, critic_lr=1e-5, seed=7, name="é")
    written, options = json.loads((folder / "options.json").read_text("utf-8")), read_options(folder)
    assert {name: options["config"][name] for name in written["config"]} == written["config"]
    others = {"format", "config", "scores", "signature"}
    assert {name: options[name] for name in options if name not in others} == {
        name: written[name] for name in written if name not in others
    }
    assert (options["format"], options["scores"], "signature" in options) == (1, {}, False)
    assert read_options(folder)["config"]["critic_lr"] == 1e-5
    assert read_options(folder)["config"]["name"] == "é"
    assert read_options(folder)["floor"] == {"jsd_4": 0.25}


@pytest.mark.parametrize("config", [*PRESETS.values(), *IMAGE_PRESETS.values()], ids=lambda each: each.preset)
def test_no_setting_of_another_model_is_added(tmp_path: Path, config: Settings) -> None:
    written = json.loads(json.dumps(config.as_json()))
    write_json(tmp_path / "options.json", {"format": 2, "config": written, "scores": {}})
    assert read_options(tmp_path)["config"] == written


def test_a_folder_without_options_and_damaged_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing: not a run \(no options\.json\); give the folder of a run"):
        read_options(tmp_path / "nothing")
    folder = write_run(tmp_path / "run", [])
    whole = (folder / "options.json").read_text("utf-8")
    (folder / "options.json").write_text(whole[:-1], "utf-8")
    with pytest.raises(InputError, match=r"run/options\.json: damaged \(.*\); start again with another --run-dir"):
        read_options(folder)


def test_metrics_cut_off_anywhere_hold_the_rows_that_were_written_whole(tmp_path: Path) -> None:
    rows = [{"iteration": i, "jsd_4": 1 / (i + 1), "critic_loss": None} for i in range(4)]
    path = write_run(tmp_path / "run", rows) / "metrics.jsonl"
    expected = [{"iteration": i, "scores/jsd_4": 1 / (i + 1), "train/critic_loss": None} for i in range(4)]
    content = path.read_bytes()
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        assert read_metrics(path.parent) == expected[: content[:cut].count(b"\n")]
    path.unlink()
    assert read_metrics(path.parent) == []


@pytest.mark.parametrize(
    ("row", "evaluations"),
    [
        ({"iteration": 0, "critic_updates": 0}, 0),
        ({"iteration": 1, "critic_updates": 10}, 10),  # the generator waits
        ({"iteration": 7, "critic_updates": 70}, 6 + 70),
        ({"iteration": 7, "critic_updates": 0}, 7),  # maximum likelihood has no critic, and does not wait
        ({"iteration": 7, "time/critic_updates": 14}, 6 + 14),
        ({"iteration": 7, "time/critic_updates": 7, "time/generator_updates": 12}, 12 + 7),  # several per iteration
        ({"iteration": 7, "time/critic_updates": 7, "time/generator_updates": 6, "time/gradient_evaluations": 26}, 26),
    ],
)
def test_gradient_evaluations_of_every_version(tmp_path: Path, row: dict[str, int], evaluations: int) -> None:
    (read,) = read_metrics(write_run(tmp_path / "run", [row]))
    assert read["time/gradient_evaluations"] == evaluations


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [{"iteration": i} for i in range(3)])
    lines = (folder / "metrics.jsonl").read_bytes().split(b"\n")
    for damaged in range(3):
        (folder / "metrics.jsonl").write_bytes(b"\n".join([*lines[:damaged], b'{"iter', *lines[damaged + 1 :]]))
        with pytest.raises(InputError, match=rf"run/metrics\.jsonl:{damaged + 1}: damaged row \(.*\); remove the line"):
            read_metrics(folder)


def test_runs_are_found_by_folder_by_parent_and_by_glob_each_once(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "suite" / "a-seed1", []), write_run(tmp_path / "suite" / "a-seed0", [])
    c, d = write_run(tmp_path / "suite" / "deep" / "c", []), write_run(tmp_path / "other", [])
    (tmp_path / "suite" / "a-seed0.log").write_text("what it said", "utf-8")  # a glob finds it too
    (a / "samples").mkdir()
    suite = str(tmp_path / "suite")
    assert find_runs([str(a)]) == [a]
    assert find_runs([suite]) == [b, a, c]
    assert find_runs([f"{suite}/a-*"]) == [b, a]
    assert find_runs([f"{suite}/a-seed[1-9]"]) == [a]
    assert find_runs([f"{tmp_path}/**"]) == [d, b, a, c]
    assert find_runs([str(d), f"{suite}/*", str(a), suite, f"{suite}/"]) == [d, b, a, c]


def test_relative_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "runs" / "a", [])
    monkeypatch.chdir(tmp_path)
    assert find_runs(["."]) == find_runs(["runs", "./runs/a", "runs/*"]) == [Path("runs/a")]


def test_a_run_named_by_its_relative_and_its_absolute_path_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "runs" / "a", [])
    monkeypatch.chdir(tmp_path)
    assert len(find_runs(["runs/a", str(folder)])) == 1


def test_a_place_that_exists_is_no_glob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("lr[1]", "lr1", "a*b", "aXb", "?", "c", "**", "[", "~", "-x")
    for name in names:
        write_run(tmp_path / "runs" / name / "seed0", [])
    monkeypatch.chdir(tmp_path / "runs")
    for name in names:
        assert find_runs([name]) == find_runs([f"{name}/*"]) == find_runs([f"{name}/seed[0]"]) == [Path(name, "seed0")]
        assert len(find_runs([str(tmp_path / "runs" / name)])) == 1
    assert find_runs(["[ac]"]) == [Path("c/seed0")]  # only what does not exist is a glob
    assert find_runs(["lr*"]) == [Path("lr1/seed0"), Path("lr[1]/seed0")]
    assert len(find_runs([str(tmp_path / "r*" / "*")])) == len(names)
    with pytest.raises(InputError, match="no run there"):
        find_runs([""])


def test_every_place_must_have_a_run(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [])
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("", "utf-8")
    for place in ("absent", "empty", "file", "b*"):
        with pytest.raises(InputError) as refused:
            find_runs([str(tmp_path / "a"), str(tmp_path / place)])
        assert str(refused.value) == (
            f"{tmp_path / place}: no run there (no options.json); give the folder of a run or of several"
        )


READERS = ("textgan.engine.run_folder", "textgan.runs.aggregate", "textgan.compare")


@pytest.mark.slow
def test_reading_runs_and_records_starts_without_torch() -> None:
    modules = ", ".join((*READERS, "leaderboards.submit", "leaderboards.verify", "leaderboards.build"))
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
