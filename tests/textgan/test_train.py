import json
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import InputError
from eval.core.score import Score
from eval.text.cli import CharacterFlags, score_by
from tests.helpers.runs import (
    PRESETS,
    assert_same_run,
    config_of,
    dying,
    stop_at,
    tensors,
    tiny_text,
    without_clocks,
)
from textgan import train as train_module
from textgan.engine.checkpoint import read_newest, strip_prefix
from textgan.engine.run_folder import declared_scores, read_metrics, read_options
from textgan.engine.seeds import stream_seed
from textgan.engine.settings import as_flags
from textgan.engine.trainer import NonFiniteError, Trainer
from textgan.models.line_settings import LineSettings
from textgan.models.rnn_wgan import RnnWganSettings
from textgan.models.wgan_gp import WganGpSettings
from textgan.sample import load_generator, sample_ids
from textgan.train import final_report, main, next_commands, train


def flags(config: WganGpSettings) -> list[str]:
    """The same run as a command line."""
    return as_flags(config, PRESETS)


def score_of(samples: Path) -> Score:
    (score,) = score_by(["jsd"], samples, CharacterFlags())
    return score


def test_rows_hold_what_was_done(tiny: WganGpSettings) -> None:
    outcome = train(tiny)
    rows = read_metrics(outcome.folder)
    assert [row["iteration"] for row in rows] == [0, 2, 4, 6, 8]
    assert [row["time/critic_updates"] for row in rows] == [0, 4, 8, 12, 16]
    assert [row["time/generator_updates"] for row in rows] == [0, 1, 3, 5, 7]
    assert [row["time/samples_seen"] for row in rows] == [0, 16, 32, 48, 64]
    assert not any(name.startswith("train/") for name in rows[0])
    for earlier, later in pairwise(rows):
        assert later["time/train_seconds"] > earlier["time/train_seconds"]
        assert later["time/wall_seconds"] >= later["time/train_seconds"]
        assert later["train/critic_gradient_norm"] > 0
        assert later["train/generator_update_norm"] > 0
        # The critic's loss is its Wasserstein part plus ten times the penalty.
        expected = -later["train/wasserstein"] + 10 * later["train/gradient_penalty"]
        assert later["train/critic_loss"] == pytest.approx(expected, abs=1e-5)
    assert outcome.summary is not None
    assert list(outcome.summary["best"]) == ["jsd_1", "jsd_2", "jsd_3", "jsd_4"]
    for name, best in outcome.summary["best"].items():
        values = [row[f"scores/{name}"] for row in rows]
        assert best["value"] == min(values)
        assert best["iteration"] == rows[values.index(min(values))]["iteration"]
        assert outcome.summary["last"][name] == values[-1]
    assert json.loads((outcome.folder / "summary.json").read_text("utf-8")) == outcome.summary


def test_a_checkout_that_is_not_installed_trains_and_says_so(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_package(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", no_package)
    train(tiny_text(text_file, tmp_path / "run", iterations=1))
    assert read_options(tmp_path / "run")["versions"]["textgan"] == "not installed"


def test_options_hold_what_the_run_depends_on(finished: WganGpSettings, text_file: Path) -> None:
    options = read_options(finished.folder)
    assert options["config"] == finished.as_json()
    assert options["seed"] == 0
    assert options["versions"]["torch"] == torch.__version__
    assert options["device"]["type"] == "cpu"
    assert options["lines"]["train"] + options["lines"]["held_out"] == 2000
    assert options["reference"]["corpus"]["data"] == str(text_file)
    assert options["scores"]["jsd_4"]["signature"].startswith("jsd|n:4|sym:char|len:12|pad:in|ref:text.txt@")


def test_options_have_the_command_as_given_and_rebuilt(tiny: WganGpSettings, tmp_path: Path) -> None:
    arguments = [*flags(replace(tiny, seed=3)), "--checkpoint-every=5"]
    assert main(arguments) == 0
    options = read_options(tiny.folder)
    assert options["argv"] == arguments
    *python, module = shlex.split(options["command"])[:3]
    assert (python, module, options["program"]) == (["python", "-m"], "textgan.train", "textgan.train")
    rebuilt = config_of(shlex.split(options["command"])[3:])
    assert rebuilt == replace(tiny, checkpoint_every=5, data="text.txt", run_dir=None)  # no seed, no place on a machine
    assert str(tmp_path) not in options["command"]
    train(replace(tiny, seed=3, checkpoint_every=5, iterations=9))
    options = read_options(tiny.folder)
    assert options["argv"] is None
    assert config_of(shlex.split(options["command"])[3:]) == replace(rebuilt, iterations=9)


@pytest.mark.parametrize(
    ("preset", "rival"),
    [
        *[("relgan-words-ttur", "relgan-words-orig"), ("seqgan-orig", "seqgan-ttur")],
        *[("cot-words-control", "cot-words-ttur"), ("jsdgan-oracle", "mle-oracle"), ("mle-words", None)],
    ],
)
def test_the_end_of_a_game_of_lines_names_its_rival_on_the_same_data(preset: str, rival: str | None) -> None:
    config = replace(PRESETS[preset], data="my lines.txt")
    *first, sweep = [line.partition("    #")[0] for line in next_commands(Path("runs/a"), config)]
    assert first == ([f"textgan.train --preset {rival} --data 'my lines.txt'"] if rival else [])
    assert rival is None or type(PRESETS[rival]) is type(config) or rival.startswith("mle-")
    assert sweep == "textgan.sweep runs/a"


@pytest.mark.parametrize(
    ("preset", "rival"),
    [
        ("wgan-words-orig", "wgan-words-ttur"),
        ("wgan-sp1000-ttur", "wgan-sp1000-orig"),
        ("wgan-words-control", "wgan-words-ttur"),
    ],
)
def test_the_end_of_a_wgan_of_words_names_its_rival_and_no_sweep(preset: str, rival: str) -> None:
    """A generator without a density has no curve over temperatures."""
    (only,) = next_commands(Path("runs/a"), replace(PRESETS[preset], data="a.txt"))
    assert only == f"textgan.train --preset {rival} --data a.txt    # its rival"


@pytest.mark.parametrize(
    ("scores", "explained"),
    [
        (["bleu_4", "self_bleu_4"], False),
        (["sequence_jsd"], False),
        (["word_jsd_2"], True),
        (["bleu_4", "jsd_4"], True),
    ],
)
def test_the_end_explains_the_jsd_only_if_it_is_scored(
    finished: WganGpSettings, scores: list[str], explained: bool
) -> None:
    summary = json.loads((finished.folder / "summary.json").read_text("utf-8"))
    of_scores = dict.fromkeys(scores, 0.5)
    best = {name: {"value": 0.5, "iteration": 20} for name in scores}
    changed = {**summary, "best": best, "first": of_scores, "last": of_scores, "floor": None}
    said = final_report(finished.folder, changed)
    assert ("n-gram JSD: 0 if" in said) == explained
    assert "\n\nsome of the last samples\n    " in said


def test_every_game_of_lines_has_a_rival_among_the_presets() -> None:
    games = [config for config in PRESETS.values() if isinstance(config, LineSettings | RnnWganSettings)]
    lines = [line for config in games for line in next_commands(Path("runs/a"), config)]
    rivals = {line.split()[2] for line in lines if line.startswith("textgan.train")}
    assert rivals <= set(PRESETS)
    without_sweep = [config for config in games if isinstance(config, RnnWganSettings)]
    # Maximum likelihood of three sizes has no rival.
    assert len(lines) == 2 * len(games) - 3 - len(without_sweep)


@pytest.mark.parametrize("padding", ["in", "out"])
def test_the_text_is_the_record(tiny: WganGpSettings, padding: Any) -> None:
    config = replace(tiny, padding=padding)
    train(config)
    inner_padding = 0
    for row in read_metrics(config.folder):
        path = config.folder / "samples" / f"{row['iteration']}.txt"
        score = score_of(path)
        assert {name.replace("-", "_"): value.value for name, value in score.values.items()} == {
            name.removeprefix("scores/"): value for name, value in row.items() if name.startswith("scores/")
        }
        assert str(score.signature) == declared_scores(config.folder)["jsd_4"].signature
        floor = read_options(config.folder)["floor"]
        assert {name.replace("-", "_"): value.floor for name, value in score.values.items()} == floor
        inner_padding += path.read_text("utf-8").count("\u2400")
    assert inner_padding > 0  # padding inside lines did occur, and survived


def test_reference_lines_are_training_lines_and_the_floor_comes_from_held_out_ones(finished: WganGpSettings) -> None:
    options = read_options(finished.folder)
    score = score_of(finished.folder / "samples" / "8.txt")
    assert score.reference == f"text.txt ({options['lines']['train']:,} lines)"
    assert options["lines"]["held_out"] > 150


@pytest.mark.parametrize(("iteration", "number"), [(3, signal.SIGTERM), (4, signal.SIGHUP), (5, signal.SIGINT)])
def test_a_stopped_run_continues_as_if_it_had_not_stopped(
    tiny: WganGpSettings,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    iteration: int,
    number: signal.Signals,
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, iteration, lambda: signal.raise_signal(number))
        assert main(flags(tiny)) == 128 + number
    assert "the same command continues" in capsys.readouterr().err
    newest = read_newest(tiny.folder)
    assert newest is not None
    assert newest[2]["iteration"] == iteration + 1  # the step was finished, then saved
    assert not (tiny.folder / "summary.json").exists()
    assert main(flags(tiny)) == 0
    assert_same_run(trained / "run", tiny.folder)


def test_a_crash_loses_at_most_the_work_since_the_last_checkpoint(
    tiny: WganGpSettings, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        stop_at(patch, 7, crash)
        with pytest.raises(RuntimeError, match="crash"):
            train(tiny)
    with (tiny.folder / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
        metrics.write('{"iteration": 7, "jsd')  # the crash came while a row was written
    assert [row["iteration"] for row in read_metrics(tiny.folder)] == [0, 2, 4, 6]
    train(tiny)
    assert_same_run(trained / "run", tiny.folder)


@pytest.mark.slow
def test_kill_9_while_files_are_written(tiny: WganGpSettings, trained: Path) -> None:
    # The first process dies while it saves the first checkpoint, the second one before the next; then it may finish.
    saved = []
    for written in ("checkpoints/000000004", "samples/6.txt"):
        command = dying([sys.executable, "-m", "textgan.train", *flags(tiny)], written)
        killed = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        assert killed.returncode == -signal.SIGKILL
        saved.append(len(list((tiny.folder / "checkpoints").glob("[0-9]*"))))
    assert saved == [0, 1]
    train(tiny)
    assert_same_run(trained / "run", tiny.folder)
    assert not list(tiny.folder.rglob("*.partial"))


@pytest.mark.parametrize("victim", ["tensors.safetensors", "state.json"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    finished: WganGpSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str], victim: str
) -> None:
    assert [path.name for path in sorted((finished.folder / "checkpoints").iterdir())] == ["000000004", "000000008"]
    damaged = finished.folder / "checkpoints" / "000000008" / victim
    content = damaged.read_bytes()
    if victim == "state.json":
        damaged.write_bytes(content.replace(b'"iteration": 8', b'"iteration": 9'))  # JSON all the same
    else:
        damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    load_generator(finished.folder)
    assert damaged.exists()  # reading removes nothing
    train(replace(finished, iterations=12))
    assert "damaged checkpoint" in capsys.readouterr().err
    assert_same_run(tmp_path / "whole", finished.folder)


def test_when_all_checkpoints_are_damaged_it_says_so(finished: WganGpSettings) -> None:
    for path in finished.folder.glob("checkpoints/*/tensors.safetensors"):
        path.write_bytes(b"")
    rows = read_metrics(finished.folder)
    for _ in range(2):  # and does not start anew the second time
        with pytest.raises(InputError, match="every checkpoint is damaged"):
            train(finished)
    assert read_metrics(finished.folder) == rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"critic_lr": 1.0}, r"--critic-lr 1\.0: the run in .* has 0\.003"),
        ({"seed": 3}, "--seed 3: the run in .* has 0"),
        ({"padding": "out"}, "--padding out"),
    ],
)
def test_changed_options_are_refused_by_name(finished: WganGpSettings, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(replace(finished, **change))


def test_a_run_of_a_version_without_a_setting_is_refused(finished: WganGpSettings) -> None:
    options = read_options(finished.folder)
    del options["config"]["padding"]
    (finished.folder / "options.json").write_text(json.dumps(options))
    with pytest.raises(InputError, match=r"run: begun by a version without --padding; choose another --run-dir"):
        train(finished)


def test_checkpoints_of_a_run_without_options_are_not_continued(finished: WganGpSettings) -> None:
    (finished.folder / "options.json").unlink()
    with pytest.raises(InputError, match=r"checkpoints without options\.json"):
        train(finished)


def test_changed_data_is_refused(finished: WganGpSettings) -> None:
    with Path(finished.data).open("a", encoding="utf-8") as file:
        file.write("another line\n" * 10)
    with pytest.raises(InputError, match=r"--data: differs from the data of the run in "):
        train(finished)
    with pytest.raises(InputError, match="not as it was when the samples were made"):
        score_of(finished.folder / "samples" / "8.txt")


def test_a_larger_budget_continues_a_finished_run(finished: WganGpSettings, tmp_path: Path) -> None:
    train(replace(finished, iterations=12))
    assert_same_run(tmp_path / "whole", finished.folder)


def test_minutes_end_a_run(tiny: WganGpSettings) -> None:
    config = replace(tiny, iterations=None, minutes=0.005, eval_every=1)
    train(config)
    *before, last = (row["time/train_seconds"] for row in read_metrics(config.folder))
    assert last >= 0.3
    assert max(before) < 0.3


def test_evaluations_at_multiples_of_the_training_clock(
    tiny: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A step takes an eighth of a second by this clock, and whatever is not a step takes none.
    now = 0.0

    def step(self: Any, real: Any, measure: bool, whole: Any = Trainer.step) -> Any:
        nonlocal now
        now += 0.125
        return whole(self, real, measure)

    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    clocked = replace(tiny, iterations=None, minutes=2.5 / 60, eval_seconds=0.5, run_dir=tmp_path / "clocked")
    train(clocked)
    rows = read_metrics(clocked.folder)
    # When an evaluation is due, one more step is taken, whose statistics are logged.
    assert [row["iteration"] for row in rows] == [0, 5, 9, 13, 17, 21]
    assert [row["time/train_seconds"] for row in rows] == [0, 0.625, 1.125, 1.625, 2.125, 2.625]
    assert all(row["train/critic_loss"] for row in rows[1:])
    # Multiples that no step ends at: due at the first step after them. A run that is continued keeps to them.
    odd = replace(clocked, eval_seconds=0.8, run_dir=tmp_path / "odd")
    for minutes in (1.0, 1.75, 2.5):
        train(replace(odd, minutes=minutes / 60))
    assert [row["time/train_seconds"] for row in read_metrics(odd.folder)] == [0, 1, 1.75, 2.625]
    # When a run is scored changes nothing in what it learns.
    train(replace(tiny, iterations=21))
    ours, theirs = tensors(clocked.folder), tensors(tiny.folder)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_evaluations_are_asked_for_in_one_way(tiny: WganGpSettings) -> None:
    with pytest.raises(InputError, match="--eval-every and --eval-seconds: give one of them"):
        main(["--preset", "quickstart", "--eval-seconds=5", "--eval-every", "50"])
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="--eval-seconds"):
            replace(tiny, eval_seconds=wrong)


def test_a_budget_that_ends_before_both_players_train_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--preset", "seqgan-words-ttur", "--data", "grammar", "--dry-run", "--iterations"]
    with pytest.raises(InputError, match="--iterations 880: pretraining, warm-up and curriculum take 880; give more"):
        main([*arguments, "880"])
    assert main([*arguments, "881"]) == 0
    assert main([*arguments, "500", "--pretraining", "300", "--critic-warm-up", "0"]) == 0
    assert '"iterations": 500' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("less", "message"),
    [
        ({"iterations": 7}, r"--iterations 7: the run in .* has trained for 8 iterations; raise it"),
        ({"minutes": 1e-4}, r"--minutes 0\.0001: the run in .* has trained for .* minutes; raise it"),
    ],
)
def test_a_smaller_budget_than_was_used_is_refused(
    finished: WganGpSettings, less: dict[str, Any], message: str
) -> None:
    before = (finished.folder / "options.json").read_bytes()
    with pytest.raises(InputError, match=message):
        train(replace(finished, **less))
    assert (finished.folder / "options.json").read_bytes() == before


def test_a_run_continues_when_it_and_its_data_were_moved(
    finished: WganGpSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moved").mkdir()
    for place, name in (("text.txt", "renamed.txt"), ("run", "run")):
        (tmp_path / place).rename(tmp_path / "moved" / name)
    moved = replace(
        finished, data=str(tmp_path / "moved" / "renamed.txt"), run_dir=tmp_path / "moved" / "run", iterations=12
    )
    train(moved)
    assert_same_run(tmp_path / "whole", moved.folder)
    options = read_options(moved.folder)
    assert options["config"]["data"] == options["reference"]["corpus"]["data"] == moved.data


def test_a_run_that_continues_on_other_threads_says_so(
    finished: WganGpSettings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    assert "continued" not in read_options(finished.folder)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 3)
    capsys.readouterr()
    for iterations in (10, 12):
        train(replace(finished, iterations=iterations))
    said = f"continued with threads {threads + 3} (before: {threads}); numbers differ from an uninterrupted run's"
    assert capsys.readouterr().err.count(said) == 1  # what was recorded is not said again
    (change,) = read_options(finished.folder)["continued"]
    assert (change["iteration"], change["threads"]) == (8, threads + 3)


def test_a_clock_that_was_set_back_is_noted(finished: WganGpSettings, capsys: pytest.CaptureFixture[str]) -> None:
    options = read_options(finished.folder)
    (finished.folder / "options.json").write_text(json.dumps({**options, "started": options["started"] + 86400}))
    train(replace(finished, iterations=9))
    assert "the system's clock is earlier than when the run was last written" in capsys.readouterr().err


def test_equal_seeds_give_equal_runs_and_others_do_not(finished: WganGpSettings, tmp_path: Path) -> None:
    again, other = replace(finished, run_dir=tmp_path / "again"), replace(finished, run_dir=tmp_path / "other", seed=1)
    for config in (again, other):
        train(config)
    assert_same_run(finished.folder, again.folder)
    assert without_clocks(finished.folder)[0]["scores/jsd_2"] != without_clocks(other.folder)[0]["scores/jsd_2"]


def test_a_non_finite_loss_ends_the_run_and_keeps_the_checkpoint(
    tiny: WganGpSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainers: list[Any] = []
    build = train_module.build_trainer

    def build_and_keep(*arguments: Any) -> Any:
        trainers.append(build(*arguments))
        return trainers[-1]

    monkeypatch.setattr(train_module, "build_trainer", build_and_keep)

    def poison() -> None:
        with torch.no_grad():
            next(trainers[-1].critic.network.parameters()).fill_(float("inf"))

    stop_at(monkeypatch, 6, poison)
    assert main(flags(tiny)) == 1
    assert "error: iterations 7 to 8: " in capsys.readouterr().err
    newest = read_newest(tiny.folder)
    assert newest is not None
    assert newest[2]["iteration"] == 4
    assert all(torch.isfinite(tensor).all() for tensor in newest[1].values())
    with pytest.raises(NonFiniteError):
        train(tiny)


def test_the_summary_says_how_the_two_rates_relate(tiny: WganGpSettings, tmp_path: Path) -> None:
    first = train(tiny).summary
    assert first is not None
    assert first["rates"]["generator_to_critic_start"] == pytest.approx(1 / 3)
    assert first["rates"]["generator_to_critic_end"] == pytest.approx(1 / 3)
    assert first["rates"]["assumption_a2"] is False
    powers = replace(
        tiny, generator_schedule="power:0.9", critic_schedule="power:0.6", run_dir=tmp_path / "powers", iterations=9
    )
    second = train(powers).summary
    assert second is not None
    # The ninth update of the generator, n = 8, beside the critic's n = 16.
    assert second["rates"]["generator_to_critic_end"] == pytest.approx(9**-0.9 / 17**-0.6 / 3)
    assert second["rates"]["assumption_a2"] is True


def test_fewer_lines_than_a_batch(tiny: WganGpSettings) -> None:
    with pytest.raises(InputError, match=r"text\.txt: 1,?\d+ training lines, fewer than --batch-size 5000"):
        train(replace(tiny, batch_size=5000))
    assert not tiny.folder.exists()


def test_batches_are_training_lines(tiny: WganGpSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[torch.Tensor] = []
    tables = []
    real = train_module.real_batches

    def kept(config: WganGpSettings, rows: Any, *others: Any) -> list[torch.Tensor]:
        tables.append(rows)
        batches.extend(drawn := real(config, rows, *others))
        return drawn

    monkeypatch.setattr(train_module, "real_batches", kept)
    train(tiny)
    lines = {tuple(line) for line in tables[0].rows[:].tolist()}
    drawn = torch.cat(batches)
    seen = [tuple(line) for line in drawn.tolist()]
    assert len(seen) == 64
    assert set(seen) <= lines
    assert len(set(seen)) > 56  # drawn with replacement from 1,800 different lines


def test_an_exported_generator_is_the_runs_generator(finished: WganGpSettings, tmp_path: Path) -> None:
    load_generator(finished.folder).save(tmp_path / "exported")
    assert sorted(path.name for path in (tmp_path / "exported").iterdir()) == ["config.json", "model.safetensors"]
    ours, theirs = load_generator(finished.folder), load_generator(tmp_path / "exported")
    assert ours.tokenizer == theirs.tokenizer
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.network(z), theirs.network(z))
    average, itself = (
        strip_prefix(tensors(finished.folder), prefix)["project.weight"]
        for prefix in ("generator.average.module.", "generator.network.")
    )
    assert torch.equal(ours.network.state_dict()["project.weight"], average)
    assert not torch.equal(average, itself)


def test_samples_come_from_the_average_of_the_weights_where_there_is_one(
    finished: WganGpSettings, tmp_path: Path
) -> None:
    without = replace(finished, generator_ema=0.0, run_dir=tmp_path / "without")
    train(without)
    for config in (finished, without):
        network = load_generator(config.folder).network
        random = torch.Generator().manual_seed(stream_seed(config.seed, "samples", 8))
        lines = load_generator(config.folder).tokenizer.decode(sample_ids(network, 30, random))
        assert (config.folder / "samples" / "8.txt").read_text("utf-8").splitlines() == lines
    # Averaging changes what is drawn, not how the weights are trained.
    theirs = tensors(without.folder)
    assert all(torch.equal(tensors(finished.folder)[name], theirs[name]) for name in theirs)
