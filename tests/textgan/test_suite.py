import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from tests.helpers.runs import PRESETS, assert_same_run, tiny_text, without_clocks
from textgan.compare import CompareCommand, compare
from textgan.engine.run_folder import read_metrics
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.executors import RunResult
from textgan.runs.options import ExecutorOptions
from textgan.suite import main
from textgan.train import train

STATES: dict[int, tuple[Any, str]] = {
    0: ("finished", ""),
    1: ("failed", "what went wrong"),
    2: ("stopped", "by a signal"),
}


class Planned:
    """Stands in for the executors: keeps what it is given, and lets runs end as their seed says."""

    configs: list[WganGpSettings]
    execution: ExecutorOptions

    def __call__(
        self, _program: object, configs: Sequence[WganGpSettings], execution: ExecutorOptions
    ) -> list[RunResult]:
        self.configs, self.execution = list(configs), execution
        return [RunResult(config.folder, *STATES.get(config.seed, ("finished", ""))) for config in configs]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Planned:
    double = Planned()
    monkeypatch.setattr("textgan.suite.run_all", double)
    return double


def names(configs: Sequence[WganGpSettings]) -> list[str]:
    return [config.folder.name for config in configs]


def test_flags_make_a_grid_seed_by_seed(planned: Planned) -> None:
    main(["--presets", "ttur-small", "orig-small", "--seeds", "3", "0", "--set", "critic_lr=1e-3,3e-3", "dim=8",
          "generator-lr=2e-3", "iterations=50", "--suite-dir", "here/suite"])  # fmt: skip
    assert planned.configs == [
        replace(
            PRESETS[preset], critic_lr=float(rate), dim=8, generator_lr=2e-3, iterations=50, seed=seed,
            run_dir=Path("here/suite") / f"{preset},critic_lr={rate}-seed{seed}",
        )
        for seed in (3, 0)
        for preset in ("ttur-small", "orig-small")
        for rate in ("1e-3", "3e-3")
    ]  # fmt: skip
    assert planned.execution == ExecutorOptions()


def test_a_comma_in_the_name_of_a_file_is_none_between_values(
    planned: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a,b.txt").touch()
    main(["--presets", "orig", "--seeds", "0", "--set", "data=a,b.txt"])
    assert [Path(config.data).name for config in planned.configs] == ["a,b.txt"]


def test_a_start_per_seed_may_be_one_of_several(planned: Planned) -> None:
    main(["--presets", "ttur-small", "--seeds", "0", "7", "--set", "start=a-seed{seed},b-seed{seed}"])
    found = [(config.folder.name, str(config.start)) for config in planned.configs]
    assert found == [
        (f"ttur-small,start={each}-seed{seed}-seed{seed}", f"{each}-seed{seed}") for seed in (0, 7) for each in "ab"
    ]


def test_two_lists_of_values_make_every_pair(planned: Planned) -> None:
    main(["--presets", "orig", "--seeds", "0", "--set", "critic_steps=1,10", "critic_lr=1e-4,3e-4"])
    assert [(config.critic_steps, config.critic_lr) for config in planned.configs] == [
        (1, 1e-4), (1, 3e-4), (10, 1e-4), (10, 3e-4)
    ]  # fmt: skip
    assert names(planned.configs)[1] == "orig,critic_steps=1,critic_lr=3e-4-seed0"


def test_a_suite_by_default(planned: Planned) -> None:
    main([])
    assert planned.configs == [
        replace(PRESETS[preset], seed=seed, run_dir=Path("suites/suite") / f"{preset}-seed{seed}")
        for seed in (0, 1, 2)
        for preset in ("ttur-small", "orig-small")
    ]


def test_execution_flags(planned: Planned) -> None:
    main(["--executor", "ray", "--workers", "8", "--gpus", "0.25", "--retries", "5", "--address", "ray://head:1"])
    assert planned.execution == ExecutorOptions("ray", 8, 5, "ray://head:1", 0.25)
    with pytest.raises(InputError, match="--workers 0: must be at least 1"):
        main(["--workers", "0"])


TOML = """
seeds = [1, 2]
[common]
data = "corpus.txt.gz"
minutes = 20
[[method]]
preset = "ttur-small"
critic_lr = [1e-3, 3e-3]
[[method]]
name = "slow / orig"
preset = "orig-small"
critic_lr = 3e-4
minutes = 30
penalty_weight = 5
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])  # an editor may begin it with a byte order mark
def test_a_file_holds_a_suite(planned: Planned, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "suite.toml").write_text(TOML, encoding)
    main(["--file", str(tmp_path / "suite.toml"), "--suite-dir", "there"])
    common: dict[str, Any] = {"data": "corpus.txt.gz", "iterations": None}
    # A run with a budget in minutes is scored sixty times.
    ttur = replace(PRESETS["ttur-small"], minutes=20.0, eval_seconds=20.0, **common)
    expected = [
        replace(config, seed=seed, run_dir=Path("there") / f"{name}-seed{seed}")
        for seed in (1, 2)
        for name, config in (
            ("ttur-small,critic_lr=0.001", replace(ttur, critic_lr=1e-3)),
            ("ttur-small,critic_lr=0.003", replace(ttur, critic_lr=3e-3)),
            (
                "slow---orig",
                replace(
                    PRESETS["orig-small"], critic_lr=3e-4, minutes=30.0, eval_seconds=30.0, penalty_weight=5.0, **common
                ),
            ),
        )
    ]
    assert planned.configs == expected
    # Recorded as those of the command line are, or the runs would count as different ones: 20.0, not 20.
    assert [repr(config.as_json()) for config in planned.configs] == [repr(config.as_json()) for config in expected]


def test_a_list_in_common_makes_a_method_of_each_value_of_each_preset(planned: Planned, tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(
        '[common]\niterations = 9\nngram = [4, 6]\n[[method]]\npreset = "ttur"\n[[method]]\npreset = "orig"\nngram = 5',
        "utf-8",
    )
    main(["--file", str(path)])
    assert names(planned.configs)[:3] == ["ttur,ngram=4-seed0", "ttur,ngram=6-seed0", "orig-seed0"]
    assert [(config.ngram, config.seed) for config in planned.configs] == [
        (ngram, seed) for seed in (0, 1, 2) for ngram in (4, 6, 5)
    ]


@pytest.mark.parametrize(
    ("settings", "budget"),
    [
        ([], (1500, 5.0)),  # the preset's own
        (["minutes=20"], (None, 20.0)),
        (["iterations=700"], (700, None)),
        (["iterations=700", "minutes=20"], (700, 20.0)),
        (["dim=8"], (1500, 5.0)),
    ],
)
def test_a_budget_that_is_given_is_the_only_one(planned: Planned, settings: list[str], budget: Any) -> None:
    main(["--presets", "quickstart", "--seeds", "0", *(["--set", *settings] if settings else [])])
    (config,) = planned.configs
    assert (config.iterations, config.minutes) == budget


@pytest.mark.parametrize(
    ("settings", "every", "seconds"),
    [
        (["minutes=20"], 100, 20.0),
        (["minutes=0.5"], 100, 0.5),
        (["minutes=20", "eval_every=7"], 7, None),
        (["minutes=20", "eval_seconds=5"], 100, 5.0),
        (["iterations=700", "minutes=20"], 100, None),
        (["iterations=700"], 100, None),
    ],
)
def test_a_budget_in_minutes_is_scored_by_the_clock(
    planned: Planned, settings: list[str], every: int, seconds: float | None
) -> None:
    main(["--presets", "ttur-small", "orig-small", "--seeds", "0", "--set", *settings])
    assert [(config.eval_every, config.eval_seconds) for config in planned.configs] == [(every, seconds)] * 2


@pytest.mark.parametrize("every", [50, PRESETS["orig-small"].eval_every])
def test_a_method_scored_by_iterations_leaves_the_others_to_the_clock(
    planned: Planned, tmp_path: Path, every: int
) -> None:
    (tmp_path / "suite.toml").write_text(
        f"""seeds = [0]
        [common]
        minutes = 20
        [[method]]
        preset = "ttur-small"
        [[method]]
        preset = "orig-small"
        eval_every = {every}""",
        "utf-8",
    )
    for _ in range(2):  # anew, and beside the runs of the first time
        main(["--file", str(tmp_path / "suite.toml"), "--suite-dir", str(tmp_path / "mixed")])
        assert [(config.eval_every, config.eval_seconds) for config in planned.configs] == [(100, 20.0), (every, None)]
        for config in planned.configs:
            config.folder.mkdir(parents=True, exist_ok=True)
            options = {"format": 2, "config": config.as_json()}
            (config.folder / "options.json").write_text(json.dumps(options), "utf-8")


def test_evaluations_by_iterations_and_by_the_clock_are_refused_together(planned: Planned) -> None:
    with pytest.raises(InputError, match="--eval-every and --eval-seconds: give one of them"):
        main(["--presets", "ttur-small", "--set", "minutes=1", "eval_every=7", "eval_seconds=5"])


def test_values_have_the_types_of_their_fields(planned: Planned, tmp_path: Path) -> None:
    main(["--presets", "ttur", "--seeds", "0", "--set", "lines=7", "minutes=2", "critic_lr=1", "padding=out",
          "critic_schedule=power:0.5", "generator_ema=0.5", "data=a=b.txt"])  # fmt: skip
    (config,) = planned.configs
    values = (config.lines, config.minutes, config.critic_lr, config.padding, config.critic_schedule, config.data)
    assert values == (7, 2.0, 1.0, "out", "power:0.5", "a=b.txt")
    assert [type(value) for value in values[:3]] == [int, float, float]
    main(["--presets", "ttur", "--seeds", "0", "--set", "lines=None", "iterations=3"])
    assert planned.configs[0].lines is None
    (tmp_path / "suite.toml").write_text(
        'seeds = [0]\n[[method]]\npreset = "ttur"\nlines = 7\nminutes = 2\ncritic_lr = 1\nbeta1 = "0.25"\n', "utf-8"
    )
    main(["--file", str(tmp_path / "suite.toml")])
    (config,) = planned.configs
    assert repr((config.lines, config.minutes, config.critic_lr, config.beta1)) == "(7, 2.0, 1.0, 0.25)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "critic_rate=1"], "critic_rate of ttur-small: no such setting; see python -m textgan.train --help"),
        (["--set", "seed=1"], "seed of ttur-small: no such setting"),
        (["--set", "run_dir=x"], "run_dir of ttur-small: no such setting"),
        (["--set", "dim"], "--set dim: must be NAME=VALUE"),
        (["--set", "dim=wide"], "dim=wide: not a value of this setting"),
        (["--set", "dim=4.5"], "dim=4.5: not a value of this setting"),
        (["--set", "padding=sideways"], "padding=sideways: not a value of this setting"),
        (["--set", "dim=0"], "--dim 0: must be at least 1"),
        (["--set", "minutes=None"], "--iterations and --minutes are both None"),
        (["--set", "dim=8,8"], "methods orig-small,dim=8, ttur-small,dim=8: given twice; name them apart"),
        (["--presets", "ttur", "ttur"], "methods ttur: given twice; name them apart"),
        (["--presets", "fastest"], "--presets"),
        (["--set", "seeds=0,1"], "--set seeds=0,1: no setting of a run; give --presets, --seeds or --file"),
        (["--set", "preset=ttur"], "--set preset=ttur: no setting of a run"),
        (["--file", "suite.toml", "--set", "dim=8"], "--set: in place of --file; leave one of the two out"),
        (["--seeds"], "no runs: give at least one preset and one seed"),
        (["--presets"], "no runs: give at least one preset and one seed"),
        (
            ["--presets", "seqgan-words-ttur", "--set", "iterations=880"],
            "seqgan-words-ttur: --iterations 880: pretraining, warm-up and curriculum take 880; give more",
        ),
    ],
)
def test_wrong_flags_are_refused(planned: Planned, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError) as refused:
        main(arguments)
    assert message in str(refused.value)
    assert not hasattr(planned, "configs")


METHOD = '[[method]]\npreset = "ttur"\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seeds = [0", r"suite\.toml: not a TOML file \(Unclosed array"),
        ("\xff", r"suite\.toml: not a TOML file"),
        ("seed = [0]\nmethods = 1\n", r"suite\.toml: unknown methods, seed; a suite has seeds, \[common\] and"),
        ("seeds = 3\n" + METHOD, r"suite\.toml: seeds must be a list of whole numbers"),
        ('seeds = [0, "1"]\n' + METHOD, r"suite\.toml: seeds must be a list of whole numbers"),
        ("[common]\nseeds = 3\n" + METHOD, r"suite\.toml: seeds must be a list of whole numbers"),
        ("[common]\ndim = 4\n", "no runs: give at least one preset"),
        (
            METHOD + 'critic_schedule = "linear"\nminutes = 5\n',
            "suite.toml: ttur: a schedule is linear, and needs --it",
        ),
        (METHOD + "rate = 1\n", "rate of ttur: no such setting"),
        (METHOD + METHOD + "dim = []\n", "ttur: a setting has no value in its list; leave it out"),
        (METHOD + 'dim = "wide"\n', "dim=wide: not a value of this setting"),
        ('[[method]]\npreset = "fastest"\n', "preset 'fastest' of fastest: choose from quickstart, ttur, orig,"),
        ('[[method]]\nname = "mine"\ndim = 4\n', "preset None of mine: choose from"),
        (METHOD + METHOD + "dim = 8\n", "methods ttur: given twice; name them apart"),
        (f'{METHOD}name = "a"\n{METHOD}name = "a"\ndim = 8\n', "methods a: given twice"),
    ],
)
def test_wrong_files_are_refused(planned: Planned, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "suite.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        main(["--file", str(path)])
    assert not hasattr(planned, "configs")


@pytest.mark.parametrize(
    "content",
    [
        METHOD + "dim = 4.5\n",
        METHOD + "dim = true\n",
        METHOD + "minutes = true\n",
        METHOD + "data = 5\n",
        METHOD.replace("[[method]]", "[method]"),
        "common = 5\n" + METHOD,
        "seeds = [true]\n" + METHOD,
    ],
)
def test_values_of_another_type_are_refused(planned: Planned, tmp_path: Path, content: str) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(content, "utf-8")
    with pytest.raises(InputError):
        main(["--file", str(path)])


def test_a_method_has_seeds_of_its_own(planned: Planned, tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    many, one = f'{METHOD}name = "many"\ndim = [8, 16]\n', f'{METHOD}name = "one"\nseeds = [5, 2]\n'
    path.write_text(f"seeds = [3, 2]\n{one}{many}", "utf-8")
    main(["--file", str(path), "--suite-dir", "there"])
    names = [config.folder.name for config in planned.configs]
    both = ["many,dim=8", "many,dim=16"]
    in_order = [*(f"{name}-seed3" for name in both), *(f"{name}-seed2" for name in ("one", *both)), "one-seed5"]
    assert names == in_order
    for seeds in ("3", '["a"]'):
        path.write_text(f"{METHOD}seeds = {seeds}\n", "utf-8")
        with pytest.raises(InputError, match=r"suite\.toml: seeds must be a list of whole numbers"):
            main(["--file", str(path)])


@pytest.mark.parametrize(
    "content",
    [f'{METHOD}name = "a b"\n{METHOD}name = "a-b"\ndim = 8\n', "seeds = [0, 0]\n" + METHOD],
)
def test_no_two_runs_have_the_same_folder(planned: Planned, tmp_path: Path, content: str) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(content, "utf-8")
    with pytest.raises(InputError):
        main(["--file", str(path)])


@pytest.mark.parametrize(
    ("seeds", "status", "said"),
    [
        (["0"], 0, ""),
        (["0", "2"], 130, "stopped; the same command continues\n"),
        (["0", "1", "2"], 1, "some runs failed; the same command tries them again\n"),
    ],
)
def test_how_runs_ended_is_said(
    planned: Planned, capsys: pytest.CaptureFixture[str], seeds: list[str], status: int, said: str
) -> None:
    assert main(["--presets", "ttur", "--seeds", *seeds, "--suite-dir", "here"]) == status
    captured = capsys.readouterr()
    lines = {
        "0": "finished  here/ttur-seed0\n",
        "1": "failed    here/ttur-seed1: what went wrong\n",
        "2": "stopped   here/ttur-seed2: by a signal\n",
    }
    told = "".join(lines[seed] for seed in seeds)
    assert captured.out == f"{told}\ncompare them: python -m textgan.compare here\n"
    assert captured.err == said


@pytest.fixture
def toml(text_file: Path, tmp_path: Path) -> Path:
    """Two tiny methods with two seeds."""
    path = tmp_path / "suite.toml"
    path.write_text(
        f"""
        seeds = [0, 1]
        [common]
        data = "{text_file}"
        seq_len = 12
        dim = 4
        latent_dim = 4
        batch_size = 4
        ngram = 4
        eval_samples = 30
        eval_every = 2
        checkpoint_every = 3
        device = "cpu"
        iterations = 6
        [[method]]
        preset = "ttur"
        [[method]]
        name = "slow orig"
        preset = "orig"
        critic_steps = 2
        """,
        "utf-8",
    )
    return path


def suite_config(text_file: Path, preset: str, **settings: Any) -> WganGpSettings:
    return tiny_text(text_file, preset=preset, checkpoint_every=3, **settings)


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_suite_runs_skips_continues_and_compares(
    toml: Path, text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "suite"
    arguments = ["--file", str(toml), "--executor", "inline", "--suite-dir", str(folder)]
    runs = {"ttur": ("ttur", {}), "slow-orig": ("orig", {"critic_steps": 2})}

    def assert_as_trained_alone(iterations: int) -> None:
        for name, (preset, settings) in runs.items():
            alone = tmp_path / f"alone-{name}-{iterations}"
            train(suite_config(text_file, preset, iterations=iterations, seed=1, run_dir=alone, **settings))
            assert_same_run(alone, folder / f"{name}-seed1")

    def states() -> dict[str, str]:
        lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
        return {Path(line.split()[1]).name: line.split()[0] for line in lines}

    assert main(arguments) == 0
    every = ["ttur-seed0", "slow-orig-seed0", "ttur-seed1", "slow-orig-seed1"]
    assert list(states().items()) == [(name, "finished") for name in every]
    assert_as_trained_alone(6)
    before = state_of(folder)
    assert main(arguments) == 0
    assert list(states().items()) == [(name, "skipped") for name in every]
    assert state_of(folder) == before

    # Settings that make new runs leave the others as they are; then a larger budget continues all.
    toml.write_text(toml.read_text("utf-8").replace("iterations = 6", "iterations = 10"), "utf-8")
    assert main(arguments) == 0
    assert list(states().items()) == [(name, "finished") for name in every]
    assert_as_trained_alone(10)

    jsd_4 = compare(CompareCommand((str(folder),), scores=("jsd_4",), axis="iterations", windows=5))[0]
    assert [each.group.name for each in jsd_4.methods] == ["orig", "ttur"]
    for each, name in zip(jsd_4.methods, ("slow-orig", "ttur"), strict=True):
        rows = [read_metrics(folder / f"{name}-seed{seed}") for seed in (0, 1)]
        # Scored at 0, 2, 4 .. 10: one row closes each window, and the one before training is in none.
        assert each.windows.tolist() == [[row["scores/jsd_4"] for row in run[1:]] for run in rows]
        assert each.ends.tolist() == [run[-1]["scores/jsd_4"] for run in rows]


def test_a_run_that_fails_does_not_stop_the_others(
    toml: Path, text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing.txt"
    toml.write_text(toml.read_text("utf-8").replace('preset = "ttur"', f'preset = "ttur"\ndata = "{missing}"'), "utf-8")
    folder = tmp_path / "suite"
    arguments = ["--file", str(toml), "--executor", "inline", "--suite-dir", str(folder)]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    for number, seed in ((0, 0), (2, 1)):
        assert lines[number].startswith(f"failed    {folder}/ttur-seed{seed}: {missing}: ")
        assert lines[number + 1] == f"finished  {folder}/slow-orig-seed{seed}"
        assert len(read_metrics(folder / f"slow-orig-seed{seed}")) == 4
    assert captured.err.splitlines()[-1] == "some runs failed; the same command tries them again"
    # The same command: what failed is tried again, now with the data there.
    missing.write_bytes(text_file.read_bytes())
    assert main(arguments) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:4]] == ["finished", "skipped"] * 2
    alone = suite_config(text_file, "ttur", iterations=6, run_dir=tmp_path / "alone")
    train(alone)
    assert without_clocks(folder / "ttur-seed0") == without_clocks(alone.folder)
