"""Sweeps over temperatures: excess and collapse in closed form, and sweeps of tiny runs."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from data.corpus import open_corpus
from data.errors import InputError
from tests.helpers.runs import tiny_text
from textgan.engine.run_folder import DeclaredScore, read_metrics, read_options
from textgan.models import settings_of
from textgan.models.lines import LineModel
from textgan.runs.plots import plot_curves
from textgan.runs.sweeps import Curve, Point, collapsed, excess, temperature_of
from textgan.sample import load_generator, sample_ids
from textgan.sample import main as sample
from textgan.sweep import SweepCommand, axes, main, sweep
from textgan.train import train

LOWER = DeclaredScore("lower", True, "exact|ref:text@1|v:1")
DECLARED = {"nll_oracle": LOWER, "nll_test": LOWER}
OLD_RUNS = Path(__file__).with_name("runs_423dd7f")


def a_point(quality: float, diversity: float, temperature: float | None = 1.0, top_p: float = 1.0) -> Point:
    return Point(temperature, top_p, {"nll_oracle": quality, "nll_test": diversity}, 1.0)


def hyperbola(*temperatures: float) -> Curve:
    """The convex curve diversity = 1 / quality, where the temperature is the quality."""
    return Curve("mle", [a_point(t, 1 / t, t) for t in temperatures], DECLARED, 10)


def test_excess_is_the_distance_from_the_curve_at_equal_quality() -> None:
    curve = hyperbola(2, 0.5, 1)  # in no order
    for point in curve.points:
        assert excess(point, curve, "nll_oracle", "nll_test") == pytest.approx(0, abs=1e-12)
    # On the chord from (1, 1) to (2, 1/2) the diversity at 1.5 is 3/4; known to be wrong: the curve's own 2/3.
    assert excess(a_point(1.5, 0.9), curve, "nll_oracle", "nll_test") == pytest.approx(0.15, abs=1e-12)
    assert excess(a_point(1.5, 2 / 3), curve, "nll_oracle", "nll_test") == pytest.approx(-1 / 12, abs=1e-12)
    for beyond in (0.49, 2.01):
        assert excess(a_point(beyond, 1), curve, "nll_oracle", "nll_test") is None
    assert excess(Point(1.0, 0.9, {"nll_oracle": 1.0}, 1.0), curve, "nll_oracle", "nll_test") is None
    # Points of top-p are no part of the curve.
    with_top_p = replace(curve, points=[*curve.points, a_point(1.5, 0.1, top_p=0.9)])
    assert excess(a_point(1.5, 0.9), with_top_p, "nll_oracle", "nll_test") == pytest.approx(0.15, abs=1e-12)


def test_the_temperature_of_a_published_value_is_linear_between_points() -> None:
    curve = Curve("mle", [a_point(9, 7, 1.0), a_point(6, 9, 0.5), a_point(8, 7.5, 0.8)], DECLARED, 10)
    for value, temperature in ((9, 1.0), (8.5, 0.9), (7, 0.65), (6, 0.5)):
        assert temperature_of(value, curve, "nll_oracle") == pytest.approx(temperature, abs=1e-12)
    assert temperature_of(5.9, curve, "nll_oracle") is None
    assert temperature_of(9.1, curve, "nll_oracle") is None
    assert temperature_of(8, replace(curve, points=[a_point(8, 7, None)]), "nll_oracle") is None


def test_a_generator_collapses_with_few_lines_or_with_a_loss_above_uniform_symbols() -> None:
    assert collapsed(Point(1.0, 1.0, {}, 0.5), 10) is None
    assert collapsed(Point(1.0, 1.0, {}, 0.49), 10) == "49% of its lines are distinct"
    assert math.log(10) == pytest.approx(2.302585, abs=1e-6)
    for name in ("nll_test", "nll_token"):
        assert collapsed(Point(1.0, 1.0, {name: 2.3025}, 1.0), 10) is None
        assert collapsed(Point(1.0, 1.0, {name: 2.3127}, 1.0), 10) == f"{name} 2.31 is above 2.30 of uniform symbols"


def test_axes_are_scores_that_all_curves_share() -> None:
    curve = hyperbola(1, 2)
    assert axes(None, [curve, curve]) == ("nll_oracle", "nll_test")
    of_samples = replace(curve, declared={"quality": LOWER, "coverage": LOWER})
    assert axes(None, [of_samples]) == ("quality", "coverage")
    renamed = replace(curve, declared={name: replace(LOWER, signature="exact|ref:copy@1|v:1") for name in DECLARED})
    assert axes(None, [curve, renamed]) == ("nll_oracle", "nll_test")
    higher = replace(curve, declared={**DECLARED, "nll_test": replace(LOWER, better="higher")})
    other = replace(curve, name="b", declared={name: replace(LOWER, signature="exact|ref:text@2") for name in DECLARED})
    for curves, message in (
        ([curve, of_samples], "--axes: not all runs have quality and coverage"),
        ([curve, other], r"b: nll_oracle is exact\|ref:text@2, of mle exact\|ref:text@1\|v:1; leave one out"),
        ([higher], "--axes nll_test: higher is better"),
    ):
        with pytest.raises(InputError, match=message):
            axes(None, curves)


def test_the_figure_has_the_points_and_the_same_bytes_twice(tmp_path: Path) -> None:
    curves = [hyperbola(0.5, 1, 2), Curve("gan", [a_point(1, 1.5, None)], DECLARED, 10)]
    for name in ("a.png", "b.png", "one.png"):
        plot_curves(tmp_path / name, curves[: 1 if name == "one.png" else 2], "nll_oracle", "nll_test")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    orange = np.array([0xD5, 0x5E, 0], np.uint8)  # of the second curve
    drawn = [(np.asarray(Image.open(tmp_path / name).convert("RGB")) == orange).all(2).sum() for name in
             ("a.png", "one.png")]  # fmt: skip
    assert drawn[0] > 50
    assert drawn[1] == 0


# --- runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of maximum likelihood and of WGAN-GP on lines of two words."""
    folder: Path = tmp_path_factory.mktemp("sweep")
    words = [f"w{number}" for number in range(10)]
    lines = [f"{one} {other}" for one in words for other in words for _ in range(1 if other == "w0" else 3)]
    (folder / "text.txt").write_text("\n".join(lines * 2), "utf-8")
    common: dict[str, Any] = {"seq_len": 8, "ngram": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGAN_CACHE", str(folder / "cache"))
        train(
            tiny_text(
                folder / "text.txt",
                folder / "mle",
                "mle-words",
                score_seq_len=8,
                dim=8,
                iterations=20,
                eval_every=10,
                **common,
            )
        )
        train(tiny_text(folder / "text.txt", folder / "wgan", **common))
    return folder


def values(curve: Curve, name: str) -> list[float]:
    return [point.scores[name] for point in curve.points]


def test_a_sweep_scores_the_density_at_each_temperature(runs: Path) -> None:
    command = SweepCommand((str(runs / "mle"),), temperatures=(1.0, 0.5), top_p=(0.5,), count=60, device="cpu")
    (curve,) = sweep(command)
    assert [(point.temperature, point.top_p) for point in curve.points] == [(1.0, 1.0), (0.5, 1.0), (1.0, 0.5)]
    logged = read_metrics(runs / "mle")[-1]["scores/nll_char"]
    assert curve.points[0].scores["nll_char"] == pytest.approx(logged, abs=1e-9)
    assert abs(curve.points[1].scores["nll_char"] - logged) > 1e-3
    assert "nll_char" not in curve.points[2].scores
    (again,) = sweep(command)
    assert again.points == curve.points
    (other,) = sweep(replace(command, seed=1))
    assert values(other, "quality") != values(curve, "quality")


def test_a_model_of_independent_symbols_has_losses_in_closed_form(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = load_generator(runs / "mle")
    model = exported.network
    assert isinstance(model, LineModel)
    sizes = np.linspace(-2, 2, model.vocabulary_size)
    with torch.no_grad():
        model.excluded.zero_()
        model.to_symbols.weight.zero_()
        model.to_symbols.bias.copy_(torch.from_numpy(sizes))
    monkeypatch.setattr("textgan.sweep.load_generator", lambda _folder: exported)
    temperatures = (4.0, 1.0, 0.1)
    command = SweepCommand((str(runs / "mle"),), temperatures=temperatures, metrics=(), count=200, device="cpu")
    (curve,) = sweep(command)
    config = settings_of(read_options(runs / "mle")["config"])
    held_out = open_corpus(config.corpus).held_out[:].astype(int)
    symbols = [symbol for line in held_out for symbol in (*line[line > 0], 0)]  # lines of two words, and the end
    for temperature, found in zip(temperatures, values(curve, "nll_token"), strict=True):
        log_weights = sizes / temperature
        expected = np.logaddexp.reduce(log_weights) - log_weights[symbols].mean()
        assert found == pytest.approx(expected, rel=1e-5)
        assert abs(found - (np.logaddexp.reduce(sizes * temperature) - (sizes * temperature)[symbols].mean())) > (
            1e-2 if temperature != 1 else -1
        )  # known to be wrong: a temperature that multiplies
    # The coldest model repeats its lines, and finds held-out lines less likely than uniform symbols do.
    distinct = [point.distinct for point in curve.points]
    assert min(distinct[:2]) > 2 * distinct[2]
    assert collapsed(curve.points[2], curve.symbols) == f"{distinct[2]:.0%} of its lines are distinct"
    assert values(curve, "nll_token")[2] > math.log(curve.symbols)


@pytest.mark.parametrize("flags", [["--temperature", "0.01"], ["--top-p", "1e-6"]])
def test_the_coldest_samples_are_the_likeliest_symbols(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    exported = load_generator(runs / "mle")
    model = exported.network
    assert isinstance(model, LineModel)
    with torch.no_grad():  # no two symbols are nearly as likely
        model.to_symbols.weight.mul_(100)
        model.to_symbols.bias.mul_(100)
    exported.save(tmp_path / "export")
    ids = torch.zeros(1, model.seq_len, dtype=torch.long)
    with torch.no_grad():
        for position in range(model.seq_len):
            ids[0, position] = model(ids)[0, position].masked_fill(model.excluded, -math.inf).argmax()
            if ids[0, position] == 0:
                break
    assert sample([str(tmp_path / "export"), "--count", "5", "--device", "cpu", *flags]) == 0
    assert capsys.readouterr().out.splitlines() == exported.tokenizer.decode(ids.numpy().astype(np.uint16)) * 5


def test_a_temperature_divides_logits(runs: Path) -> None:
    model = load_generator(runs / "mle").network
    assert isinstance(model, LineModel)
    sizes = torch.linspace(-1, 1, model.vocabulary_size)
    with torch.no_grad():
        model.excluded.zero_()
        model.to_symbols.weight.zero_()
        model.to_symbols.bias.copy_(sizes)
    first = sample_ids(model, 4000, torch.Generator().manual_seed(0), temperature=0.5)[:, 0]
    found = np.bincount(first, minlength=len(sizes)) / len(first)
    errors = [np.abs(found - (sizes * factor).softmax(0).numpy()).max() for factor in (2, 0.5)]
    assert errors[0] < 0.03 < errors[1]  # known to be wrong: a temperature that multiplies


@pytest.mark.parametrize(
    ("run", "flags", "message"),
    [
        ("wgan", ["--temperature", "0.7"], "--temperature: .* is of wgan-gp, which has no such draws; leave it out"),
        ("wgan", ["--top-p", "0.9"], "--top-p: .* is of wgan-gp"),
        ("mle", ["--temperature", "nan"], "--temperature nan: must be a finite number"),
        ("mle", ["--temperature", "0"], r"--temperature 0\.0: must be from 0\.01 to 100"),
        ("mle", ["--top-p", "0"], r"--top-p 0\.0: must be above 0 and at most 1"),
        ("mle", ["--export", "new", "--temperature", "0.7"], "--temperature: --export draws no samples"),
        ("mle", ["--export", "new", "--count", "7"], "--count: --export draws no samples; leave one of the two out"),
    ],
)
def test_draws_that_cannot_be_are_refused(runs: Path, run: str, flags: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample([str(runs / run), *flags])


def test_runs_of_one_name_are_told_apart_by_their_folders(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "mle", tmp_path / "other" / "mle")
    shutil.copytree(runs / "mle", tmp_path / "first" / "mle")
    places = (str(tmp_path / "first" / "mle"), str(tmp_path / "other" / "mle"))
    curves = sweep(SweepCommand(places, temperatures=(1.0,), metrics=(), count=10, device="cpu"))
    assert [curve.name for curve in curves] == ["first/mle", "other/mle"]


def test_against_comes_first_and_a_run_without_density_has_one_point(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(runs / "wgan"), str(runs / "mle"), "--against", str(runs / "mle"), "--temperatures", "1", "0.5"]
    arguments += ["--count", "40", "--device", "cpu", "--json", "--output", str(tmp_path / "figure.svg")]
    assert main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["run"], row["temperature"]) for row in rows] == [("mle", 1.0), ("mle", 0.5), ("wgan", None)]
    assert [row["excess"] for row in rows[:2]] == [None, None]
    assert all(row["signature"].startswith("quality|n:2|") for row in rows)
    assert all("; coverage|n:2|" in row["signature"] for row in rows)
    text = (tmp_path / "figure.svg").read_text("utf-8")
    assert "<!-- COVERAGE (diversity, lower is better) -->" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"temperatures": (0.0,)}, r"--temperatures 0\.0: must be from 0\.01 to 100"),
        ({"temperatures": (math.nan,)}, "--temperatures nan"),
        ({"top_p": (1.0,)}, r"--top-p 1\.0: must be above 0 and below 1"),
        ({"count": 0}, "--count 0: must be at least 1"),
        ({"metrics": ("nonsense",)}, "--metrics nonsense: not a text metric"),
    ],
)
def test_a_wrong_value_is_refused(flags: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SweepCommand(("run",), **flags)


def test_published_values_are_of_seqgans_oracle_alone(runs: Path, tmp_path: Path) -> None:
    flags = [str(runs / "mle"), "--count", "20", "--temperatures", "1", "--device", "cpu", "--published"]
    with pytest.raises(InputError, match="--published: draws into a figure; name one with --output"):
        main(flags)
    figure = tmp_path / "figure.png"
    with pytest.raises(
        InputError, match="--published: the values are of SeqGAN's oracle, and mle is scored by quality"
    ):
        main([*flags, "--output", str(figure)])
    assert not figure.exists()


def test_runs_of_images_and_changed_data_are_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images-finished: not a run on text; for images use"):
        sweep(SweepCommand((str(OLD_RUNS / "images-finished"),), device="cpu"))
    copy = Path(shutil.copytree(runs / "mle", tmp_path / "mle"))
    options = json.loads((copy / "options.json").read_text("utf-8"))
    (copy / "options.json").write_text(json.dumps({**options, "data_sha256": "0" * 64}), "utf-8")
    with pytest.raises(InputError, match=r"mle: text\.txt has changed since the run; restore it"):
        sweep(SweepCommand((str(copy),), device="cpu"))
