import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from data.errors import InputError
from data.images.dataset import ImageOptions, open_dataset
from data.images.shapes import draw_shapes
from eval import disturb
from eval.core.sensitivity import monotonicity
from eval.disturb import main, other_images
from eval.images.disturbances import Disturbance, Images, all_disturbances, gaussian_blur, salt_and_pepper, split
from eval.images.extractors.extractor import Extractor
from eval.images.extractors.random_conv import random_conv_extractor
from eval.images.features import extract
from eval.images.fid_infinity import frechet
from eval.images.frechet import FeatureStatistics, distance
from eval.images.inception_score import inception_score
from eval.images.kid import kid
from eval.images.precision_recall import precision_recall
from eval.images.sensitivity import image_metrics, measure


def brightness(images: torch.Tensor) -> torch.Tensor:
    return images.float().mean((1, 2, 3))[:, None] / 255


def two_classes(features: torch.Tensor) -> torch.Tensor:
    return torch.cat([features, 1 - features], 1) * 40


BRIGHTNESS = Extractor("brightness", 1, torch.device("cpu"), brightness, two_classes)


def paler(images: Images, level: float, seed: int) -> Images:
    return images + np.uint8(level)


@pytest.mark.parametrize(
    ("values", "better", "rho", "violations"),
    [
        ([1, 2, 3, 4], "lower", 1, 0),
        ([1, 2, 3, 4], "higher", -1, 3),
        ([0.74, 372, 384, 382], "lower", 0.8, 1),  # the paper's FIDs of salt and pepper: 1 - 6 * 2 / (4 * 15)
        ([2.25, 2.13, 2.26, 2.47], "higher", -0.8, 2),  # its Inception Scores of noise
        ([1, 1, 2, 3], "lower", math.sqrt(0.9), 1),  # Pearson's of the ranks 1.5, 1.5, 3, 4
        ([5, 5, 5, 5], "lower", None, 3),
    ],
)
def test_monotony_is_spearmans(values: list[float], better: str, rho: float | None, violations: int) -> None:
    found = monotonicity(values, "lower" if better == "lower" else "higher")
    assert found == (None if rho is None else pytest.approx(rho, abs=1e-12), violations)


def test_responses_are_the_metrics_of_the_disturbed_images() -> None:
    random = np.random.default_rng(0)
    disturbed, reference = (random.integers(0, 200, (count, 3, 4, 4), np.uint8) for count in (40, 41))
    (found,) = measure(
        disturbed, reference, BRIGHTNESS, image_metrics("inception"), [Disturbance("paler", (0, 5, 50), paler)]
    )
    ours, theirs = (images.mean((1, 2, 3)) / 255 for images in (disturbed, reference))
    deviations = ours.std(ddof=1), theirs.std(ddof=1)
    for level, value, score in zip((0, 5, 50), found.values["fid"], found.values["inception-score"], strict=True):
        shift = ours.mean() + level / 255 - theirs.mean()
        assert value.value == pytest.approx(shift**2 + (deviations[0] - deviations[1]) ** 2, rel=1e-4)
        logits = 40 * np.stack([ours + level / 255, 1 - ours - level / 255], 1)
        expected = inception_score(logits)
        assert score.value == pytest.approx(expected.value, rel=1e-4)
        # Student's of ten splits: 2.262 standard errors, 0.025 of the nine degrees' distribution above it.
        parts = np.split(logits, [split * len(logits) // 10 for split in range(1, 10)])
        deviation = np.std([inception_score(part, 1).value for part in parts])
        assert score.high is not None
        assert score.high - score.value == pytest.approx(2.26216 * deviation / 3, rel=1e-3)
    assert np.array_equal(found.examples, np.stack([disturbed[:6], disturbed[:6] + 5, disturbed[:6] + 50]))


def test_values_are_those_of_the_commands_with_their_intervals() -> None:
    random = np.random.default_rng(0)
    disturbed, reference = (random.integers(0, 200, (count, 3, 4, 4), np.uint8) for count in (60, 41))
    (found,) = measure(
        disturbed, reference, BRIGHTNESS, image_metrics("inception"), [Disturbance("paler", (5,), paler)]
    )
    ours, theirs = (extract(images, BRIGHTNESS) for images in (disturbed + np.uint8(5), reference))
    shares = precision_recall(ours, theirs)
    assert found.values["precision"] == [shares["precision"]] != [shares["recall"]] == found.values["recall"]
    assert found.values["kid"] == [kid(ours, theirs)]
    assert found.values["fid"] == [frechet(ours, FeatureStatistics.of(theirs, "brightness"))]
    assert found.values["fid"][0].high is not None


def test_the_inception_score_needs_classes() -> None:
    images = np.zeros((20, 3, 16, 16), np.uint8)
    with pytest.raises(InputError, match="random-conv-2@seed0 has no classes; say --features inception"):
        measure(images, images, random_conv_extractor(), image_metrics("inception"), [])


def test_halves_share_no_image_and_no_order() -> None:
    pictures = open_dataset(ImageOptions(count=201))
    disturbed, reference = split(pictures)
    place = {image.tobytes(): index for index, image in enumerate(pictures.images)}
    order = [place[image.tobytes()] for image in (*disturbed, *reference)]
    assert sorted(order) == list(range(201))
    assert (len(disturbed), len(reference)) == (100, 101)
    # A file sorted by class must not have its first classes in one half: by the normal approximation, 50 +- 3.5.
    assert abs(sum(index < 100 for index in order[:100]) - 50) < 5 * 3.5
    assert abs(np.corrcoef(order[:100], np.arange(100))[0, 1]) < 0.5  # nor stay sorted within: splits of a score


def test_shapes_are_contaminated_with_enlarged_shapes() -> None:
    others, name = other_images("shapes", "shapes", 1100, 16)
    assert np.array_equal(others, draw_shapes(0, 1100, 32, seed=1)[0][:, :, :16, :16])
    assert name == "shapes-1-seed1-enlarged"
    others, name = other_images("shapes", "photos", 1100, 16)
    assert np.array_equal(others, draw_shapes(0, 1100, 16, seed=1)[0])
    assert name == "shapes-1-seed1"


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert main([*arguments, "--json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def assert_follows(score: dict[str, object], count: int) -> None:
    rhos, scores = score["rank_correlation"], score["scores"]
    assert rhos == {disturbance.name: 1 for disturbance in all_disturbances(np.empty((0, 3, 1, 1), np.uint8))}
    assert isinstance(scores, dict)
    assert set(score["violations"].values()) == {0}  # type: ignore[attr-defined]
    assert (score["metric"], score["better"], score["samples"]) == ("fd-random", "lower", count)
    for name, estimate in scores.items():
        if name.endswith(" 0"):
            # Levels far above the floor, not just above it. Swirls leave all but the middle where it was.
            last = [value["value"] for key, value in scores.items() if key.startswith(name[:-1])][-1]
            assert last > (1.1 if name == "swirl 0" else 5) * estimate["value"], name


def test_fd_random_follows_all_six_on_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    (score,) = run_json(capsys, "shapes", "--features", "random-conv", "--count", "2000", "--device", "cpu")
    assert_follows(score, 1000)
    # Again by hand, from the definitions.
    pictures = open_dataset(ImageOptions(count=2000))
    disturbed, reference = split(pictures)
    extractor = random_conv_extractor()

    def statistics(images: Images) -> FeatureStatistics:
        return FeatureStatistics.of(extract(images, extractor), extractor.signature)

    theirs = statistics(reference)
    undisturbed = distance(statistics(disturbed), theirs)
    scores = score["scores"]
    assert isinstance(scores, dict)
    for name, expected in (
        ("gaussian blur 2", distance(statistics(gaussian_blur(disturbed, 2)), theirs)),
        ("salt and pepper 0.3", distance(statistics(salt_and_pepper(disturbed, 0.3, 0)), theirs)),
        *((f"{disturbance.name} 0", undisturbed) for disturbance in all_disturbances(disturbed)),
    ):
        assert scores[name]["value"] == pytest.approx(expected, rel=1e-6)
    assert len(scores) == 24
    assert str(score["signature"]).startswith(
        "fd-random|features:random-conv-2@seed0|size:32x32|against:other-half|seed:0|rho:35px|"
        "other:shapes-1-seed1-enlarged|gaussian-noise:0,0.25,0.5,0.75|gaussian-blur:0,1,2,4|"
    )
    assert f"|ref:shapes@{pictures.sha256[:12]}|samples:1000|v:" in str(score["signature"])


def test_fd_random_follows_all_six_on_real_images(cifar10_sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (str(cifar10_sample), "--count", "3000", "--features", "random-conv", "--device", "cpu")
    (score,) = run_json(capsys, *arguments)
    assert_follows(score, 1500)


def test_documented_commands_work_and_draw_an_undisturbed_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^ {4}python -m eval\.disturb (shapes .*)$", disturb.__doc__ or "", re.MULTILINE)
    assert len(commands) == 2
    arguments = [shlex.split(command.replace("--count 2000", "--count 12")) for command in commands]
    assert [main(each) for each in arguments] == [0, 0]
    table, again = capsys.readouterr().out.split("fd-random of 6 images against the other half of shapes")[1:]
    assert table == again
    (score,) = run_json(capsys, *arguments[0])
    scores, rhos, violations = score["scores"], score["rank_correlation"], score["violations"]
    assert isinstance(scores, dict) and isinstance(rhos, dict) and isinstance(violations, dict)
    for name in rhos:
        levels, *values, rho, violated = re.findall(rf"^{name}  +(.*)$", table, re.MULTILINE)[0].rsplit(maxsplit=6)
        expected = [scores[f"{name} {level}"]["value"] for level in levels.split()]
        assert [float(value) for value in values] == pytest.approx(expected, rel=1e-3)
        assert float(rho) == pytest.approx(rhos[name], abs=0.05)
        assert int(violated) == violations[name]
    # An undisturbed image is in it, each pixel some pixels wide.
    drawn: NDArray[np.uint8] = np.asarray(Image.open("disturbances.png").convert("RGB"))
    colours = {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()}
    image = split(open_dataset(ImageOptions(count=12)))[0][0]
    middle = {tuple(colour) for colour in image[:, 8:24, 8:24].reshape(3, -1).T.tolist()}
    assert len(middle - colours) < 0.2 * len(middle)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--metrics kid",
            "--metrics kid: with --features random-conv choose from fd-random, kd-random, precision, recall",
        ),
        ("--features inception --precision tf32 --device cpu", "--precision tf32: not on cpu; say float32 or bf16"),
        ("--compile", "--compile: only with --features inception"),
        ("--output figure.txt", "--output figure.txt: must end in .png"),
        ("--weights inception.pth", "--weights inception.pth: only with --features inception"),
        ("--count 3", "shapes: 3 images do not make two halves; give at least 4"),
        ("--batch-size 0", "--batch-size 0: must be at least 1"),
        ("--swirl-radius 0", "--swirl-radius 0.0: must be above 0"),
        (
            "--contaminate-with few.npy",
            "--contaminate-with: 5 images, but 8 are needed; give more, or a lower --count",
        ),
        ("--features inception --weights none.pth", "none.pth: no such file"),
    ],
)
def test_wrong_flags_end_before_the_work(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(disturb, "measure", None)
    np.save("few.npy", np.zeros((5, 3, 32, 32), np.uint8))
    with pytest.raises(InputError, match=re.escape(message)):
        main(["shapes", "--count", "20", "--features", "random-conv", *arguments.split()])
