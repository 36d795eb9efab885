import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import InputError
from images.config import PRESETS as IMAGE_PRESETS
from images.search import main as main_of_images
from tests.helpers.runs import PRESETS, tiny_images
from textgan.engine.run_folder import METRICS, OPTIONS, read_metrics
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs import halving
from textgan.runs.executors import RunResult
from textgan.runs.halving import SearchOptions, Trial, candidates, search
from textgan.runs.options import ExecutorOptions
from textgan.search import main, rendered
from textgan.train import TEXT

COMMAND = SearchOptions("ttur-small", "grammar", critic_lr=(3e-4, 3e-2), generator_lr=(1e-4, 1e-2), score="jsd_4")
SCORES = {
    "jsd_4": {"better": "lower", "headline": True, "signature": "s"},
    "likeness": {"better": "higher", "headline": False, "signature": "s"},
}


def test_a_grid_is_even_in_logarithms() -> None:
    pairs = candidates(replace(COMMAND, critic_lr=(1e-4, 1e-1), generator_lr=(1e-3, 1e-3), grid_size=4))
    assert pairs == [(1e-4, 1e-3), (1e-3, 1e-3), (1e-2, 1e-3), (1e-1, 1e-3)]
    assert len(candidates(replace(COMMAND, grid_size=3))) == 9


def test_random_pairs_are_even_in_logarithms_and_always_the_same() -> None:
    command = replace(COMMAND, method="random", trials=2000, critic_lr=(1e-4, 1e-2), generator_lr=(1e-3, 1e-1))
    pairs = np.log10(candidates(command))
    assert candidates(command) == candidates(command)
    for column, low in ((0, -4), (1, -3)):
        counts, _ = np.histogram(pairs[:, column], bins=4, range=(low, low + 2))
        assert counts.sum() == len(pairs)
        assert counts == pytest.approx([len(pairs) / 4] * 4, rel=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"critic_lr": (1e-2, 1e-3)}, r"--critic-lr 0.01 0.001: must be a range"),
        ({"generator_lr": (0.0, 1e-3)}, r"--generator-lr 0 0.001: must be a range"),
        ({"grid_size": 0}, "--grid-size 0"),
        ({"rungs": 0}, "--rungs 0"),
        ({"reduction_factor": 1}, "--reduction-factor must be at least 2"),
        ({"seeds": ()}, "--seeds at least one"),
        ({"seeds": (100, 100)}, "--seeds 100 100: a seed is given twice"),
    ],
)
def test_impossible_searches_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        candidates(replace(COMMAND, **change))  # type: ignore[arg-type]


def badness(critic_lr: float, generator_lr: float) -> float:
    """A valley with its bottom at critic 1e-2, generator 1e-3."""
    return math.hypot(math.log10(critic_lr) + 2, math.log10(generator_lr) + 3)


@pytest.fixture
def valley(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """In place of training: runs that score how far their rates are from the best; yields calls' runs, iterations."""
    calls: list[tuple[int, int]] = []

    def run_all(_program: object, configs: list[WganGpSettings], _execution: ExecutorOptions) -> list[RunResult]:
        calls.append((len(configs), configs[0].iterations or 0))
        ended = []
        for config in configs:
            config.folder.mkdir(parents=True, exist_ok=True)
            score = badness(config.critic_lr, config.generator_lr) / 10 + config.seed / 1e6
            options = {
                "config": config.as_json(), "signature": "s", "scores": SCORES, "floor": None,
                "device": {"name": "a processor"},
            }  # fmt: skip
            (config.folder / OPTIONS).write_text(json.dumps(options), "utf-8")
            failed = config.critic_lr > 0.05  # half-way
            reached = (config.iterations or 0) // (2 if failed else 1)
            rows = [
                {"iteration": i, "train_seconds": i, "wall_seconds": i, "critic_updates": i, "samples_seen": i,
                 "jsd_4": score + 1 / (1 + i), "likeness": 1 - score - 1 / (1 + i)}
                for i in range(0, reached + 1, config.eval_every)
            ]  # fmt: skip
            (config.folder / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            ended.append(RunResult(config.folder, "failed" if failed else "finished"))
        return ended

    monkeypatch.setattr(halving, "run_all", run_all)
    return calls


def command(folder: Path) -> SearchOptions:
    return replace(
        COMMAND, critic_lr=(1e-4, 1e-1), generator_lr=(1e-4, 1e-2), grid_size=4, iterations=900, rungs=3,
        reduction_factor=3, search_dir=folder,
    )  # fmt: skip


def test_halving_keeps_the_better_third(tmp_path: Path, valley: list[tuple[int, int]]) -> None:
    trials = search(TEXT, command(tmp_path), 1)
    # 16 pairs of 2 seeds, then 6, then 2 pairs, for three times as long each.
    assert valley == [(32, 100), (12, 300), (4, 900)]
    pairs = candidates(command(tmp_path))
    expected = sorted((pair for pair in pairs if pair[0] <= 0.05), key=lambda pair: badness(*pair))
    for rung, count in enumerate((16, 6, 2)):
        ours = [(trial.critic_lr, trial.generator_lr) for trial in trials if trial.rung == rung]
        assert len(ours) == count
        distances = [badness(*pair) for pair in ours if pair[0] <= 0.05]
        assert distances == pytest.approx([badness(*pair) for pair in expected[: len(distances)]])
    assert [trial.mean is None for trial in trials if trial.rung == 0] == [False] * 12 + [True] * 4
    # The score is that of the rung's end, and the mean is over seeds.
    best = trials[-2]
    tenth = [i for i in range(0, 901, 10) if i > 810]
    tail = badness(best.critic_lr, best.generator_lr) / 10 + sum(1 / (1 + i) for i in tenth) / len(tenth)
    assert best.scores == pytest.approx([tail + 100e-6, tail + 101e-6])
    assert best.mean == pytest.approx(tail + 100.5e-6)


def test_halving_keeps_the_higher_third_if_higher_is_better(tmp_path: Path, valley: list[tuple[int, int]]) -> None:
    lower = search(TEXT, command(tmp_path / "a"), 1)
    higher = search(TEXT, replace(command(tmp_path / "b"), score="likeness"), -1)
    assert [replace(trial, scores=[]) for trial in higher] == [replace(trial, scores=[]) for trial in lower]
    for ours, theirs in zip(higher, lower, strict=True):
        assert ours.mean is theirs.mean is None or ours.mean == pytest.approx(1 - (theirs.mean or 0))
    # Known to be wrong: the smallest of these scores, which the worst rates have.
    wrong = search(TEXT, replace(command(tmp_path / "c"), score="likeness"), 1)
    assert (wrong[-2].critic_lr, wrong[-2].generator_lr) != (higher[-2].critic_lr, higher[-2].generator_lr)


def test_a_search_that_is_run_again_trains_nothing_and_says_the_same(
    tmp_path: Path, valley: list[tuple[int, int]]
) -> None:
    first = search(TEXT, command(tmp_path), 1)
    valley.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            halving,
            "run_all",
            lambda _program, configs, _: [RunResult(each.folder, "failed") for each in configs],
        )
        again = search(TEXT, replace(command(tmp_path), critic_lr=(1e-4, 1e-1)), 1)
    assert again == first
    for change, flag in (
        ({"data": "lm1b"}, "--data"),
        ({"preset": "orig-small"}, "--preset"),
        ({"iterations": 1800}, "--iterations"),
    ):
        with pytest.raises(InputError, match=f"{flag}: the search in .* has another; choose another --search-dir"):
            search(TEXT, replace(command(tmp_path), **change), 1)


def test_the_iterations_of_a_rung_come_after_pretraining_and_warm_up(
    tmp_path: Path, valley: list[tuple[int, int]]
) -> None:
    search(TEXT, replace(command(tmp_path), preset="seqgan-words-ttur"), 1)
    assert valley == [(32, 780 + 100 + 100), (12, 880 + 300), (4, 880 + 900)]


def test_the_recommendation_warns_of_edges_and_of_seeds(tmp_path: Path, valley: list[tuple[int, int]]) -> None:
    told = rendered(TEXT, command(tmp_path), search(TEXT, command(tmp_path), 1))
    assert "best of 16 pairs: critic 0.01, generator 0.000464" in told or "generator 0.00215" in told
    assert "edge" not in told
    assert told.splitlines()[0].split() == ["critic", "generator", "iterations", "jsd_4", "per", "seed"]
    assert "report it on seeds other than 100 101:" in told
    assert (
        "python -m textgan.suite --presets ttur-small --seeds 0 1 2 --set data=grammar critic_lr=0.01 generator_lr="
        in told
    )
    # The suite trains as the search did: constant rates, and the iterations after pretraining.
    game = replace(command(tmp_path / "game"), preset="seqgan-words-ttur")
    assert "iterations=1780" in rendered(TEXT, game, search(TEXT, game, 1))
    falling = replace(PRESETS["ttur-small"], critic_schedule="linear")
    program = replace(TEXT, presets={**PRESETS, "ttur-small": falling})
    constant = command(tmp_path / "constant")
    told = rendered(program, constant, search(TEXT, constant, 1))
    assert "critic_schedule=constant iterations=900" in told
    narrow = replace(command(tmp_path / "narrow"), critic_lr=(1e-4, 1e-3))
    assert "the critic's rate is at the edge of the searched range" in rendered(TEXT, narrow, search(TEXT, narrow, 1))
    nothing = [Trial(0.1, 0.1, 2, 900, [None, None])]
    told = rendered(TEXT, command(tmp_path), nothing)
    assert told.endswith("\n\nevery candidate failed (see above); if losses were not finite, search smaller rates")


def test_a_wrong_score_ends_before_the_work(text_file: Path, valley: list[tuple[int, int]]) -> None:
    message = "--score fd_random: choose from jsd_1, jsd_2, jsd_3, jsd_4, jsd_5, jsd_6"
    with pytest.raises(InputError, match=message):
        main(["--score", "fd_random", "--data", str(text_file)])
    assert valley == []


def test_data_that_cannot_be_read_end_a_search_before_the_work(tmp_path: Path, valley: list[tuple[int, int]]) -> None:
    with pytest.raises(InputError, match=r"none\.txt: no such file"):
        main(["--data", str(tmp_path / "none.txt"), "--search-dir", str(tmp_path / "s")])
    assert valley == []
    assert not (tmp_path / "s").exists()


def test_when_all_fail_it_says_why(
    tmp_path: Path, text_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A schedule that ends with the run is left out: the second rung continues the first.
    small = replace(PRESETS["ttur-small"], dim=4, batch_size=4, eval_samples=20, critic_schedule="linear")
    monkeypatch.setitem(PRESETS, "ttur-small", small)
    flags = ["--data", str(text_file), "--search-dir", str(tmp_path / "s"), "--grid-size", "1", "--iterations", "40"]
    rates = ["--critic-lr", "1e9", "1e9", "--generator-lr", "1e9", "1e9"]
    assert main([*flags, *rates, "--rungs", "2", "--seeds", "7", "--executor", "inline"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("not finite") == 1  # later rungs would fail again
    assert "every candidate failed" in captured.out


def test_a_real_search_leaves_a_record_and_a_map(
    tmp_path: Path, text_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A schedule that ends with the run is left out: the second rung continues the first.
    small = replace(PRESETS["ttur-small"], dim=4, batch_size=4, eval_samples=20, critic_schedule="linear")
    monkeypatch.setitem(PRESETS, "ttur-small", small)
    flags = ["--data", str(text_file), "--search-dir", str(tmp_path / "s"), "--grid-size", "2", "--iterations", "12"]
    more = ["--rungs", "2", "--reduction-factor", "2", "--seeds", "7", "--executor", "inline"]
    assert main([*flags, *more]) == 0
    found = json.loads((tmp_path / "s" / "search.json").read_text("utf-8"))
    assert [(trial["rung"], trial["iterations"]) for trial in found["trials"]] == [(0, 6)] * 4 + [(1, 12)] * 2
    assert found["command"]["score"] == "jsd_4"
    means = [trial["mean"] for trial in found["trials"]]
    assert means[:4] == sorted(means[:4])
    assert means[4:] == sorted(means[4:])
    assert "best of 4 pairs" in capsys.readouterr().out
    with Image.open(tmp_path / "s" / "search.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20


def test_a_search_on_images_makes_their_distance_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    iterations = IMAGE_PRESETS["orig-small"].iterations
    preset = tiny_images("orig-small", iterations=iterations, batch_size=4, critic_lr=3e-4, generator_lr=1e-3)
    monkeypatch.setitem(IMAGE_PRESETS, "orig-small", preset)
    folder = tmp_path / "s"
    flags = ["--preset", "orig-small", "--search-dir", str(folder), "--grid-size", "2", "--iterations", "4"]
    assert (
        main_of_images([*flags, "--rungs", "2", "--reduction-factor", "3", "--seeds", "7", "8", "--executor", "inline"])
        == 0
    )
    found = json.loads((folder / "search.json").read_text("utf-8"))
    trials = [Trial(**{key: value for key, value in trial.items() if key != "mean"}) for trial in found["trials"]]
    # From a tenth of the preset's rates to ten times them, and its own data.
    assert sorted((trial.critic_lr, trial.generator_lr) for trial in trials[:4]) == [
        (3e-5, 1e-4), (3e-5, 1e-2), (3e-3, 1e-4), (3e-3, 1e-2)
    ]  # fmt: skip
    assert [trial.iterations for trial in trials] == [1] * 4 + [4] * 2
    for trial in trials:
        for seed, score in zip((7, 8), trial.scores, strict=True):
            run = folder / f"critic{trial.critic_lr:g}-generator{trial.generator_lr:g}-seed{seed}"
            (row,) = (row for row in read_metrics(run) if row["iteration"] == trial.iterations)
            assert score == row["scores/fd_random"]
    assert {(trial.critic_lr, trial.generator_lr) for trial in trials[4:]} == {
        (trial.critic_lr, trial.generator_lr) for trial in trials[:2]
    }
    best, out = trials[4], capsys.readouterr().out
    assert found["command"]["score"] == "fd_random"
    assert f"(fd_random {best.mean:.4f} after 4 iterations, mean of 2 seeds)" in out
    rates = f"critic_lr={best.critic_lr:g} generator_lr={best.generator_lr:g}"
    assert f"python -m images.suite --presets orig-small --seeds 0 1 2 --set data=shapes {rates} iterations=4\n" in out
