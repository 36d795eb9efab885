"""`score_images` returns what `eval.fid` prints for files of the same images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import InputError
from data.images.shapes import draw_shapes
from eval import fid
from eval.core.score import Score
from eval.fid import score_images
from eval.images.scores import Metric
from tests.helpers.commands import run

SAMPLES = draw_shapes(200, 50)[0]
REAL = draw_shapes(0, 200)[0]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both sets as files of the name that arrays have, and the statistics of the real images."""
    monkeypatch.chdir(tmp_path)
    for name, images in (("samples", SAMPLES), ("real", REAL)):
        Path(name).mkdir()
        np.save(f"{name}/images.npy", images)
    assert fid.main(["stats", "real/images.npy", "--features", "random-conv", "--output", "statistics.npz"]) == 0
    return tmp_path


def as_printed(scores: list[Score]) -> Any:
    return json.loads(json.dumps([score.as_json() for score in scores]))


def printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capfd.readouterr()
    status, out, _ = run(capfd, "eval.fid", *arguments, "--features", "random-conv", "--json")
    assert status == 0
    return json.loads(out)


def test_arrays_score_as_the_command_prints(capfd: pytest.CaptureFixture[str]) -> None:
    metrics: tuple[Metric, ...] = ("precision-recall", "fid", "kid")
    expected = printed(capfd, "samples/images.npy", "real/images.npy", "--metrics", *metrics)
    assert [score["metric"] for score in expected] == ["precision-recall", "fd-random", "kd-random"]
    for images, reference in (
        (SAMPLES, REAL),
        ("samples/images.npy", REAL),
        (SAMPLES, Path("real/images.npy")),
        (np.asfortranarray(SAMPLES), REAL[::1]),
    ):
        assert as_printed(score_images(images, reference, metrics, features="random-conv")) == expected
    assert expected[1]["scores"]["fd-random"]["floor"] > 0
    assert expected[1]["scores"]["fd-random"]["low"] is not None
    (other,) = score_images(SAMPLES, REAL[:-1], features="random-conv")
    assert str(other.signature) != expected[1]["signature"]


def test_size_count_and_statistics_are_those_of_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    expected = printed(capfd, "samples/images.npy", "statistics.npz", "--count", "45")
    assert as_printed(score_images(SAMPLES, "statistics.npz", features="random-conv", count=45)) == expected
    assert expected[0]["samples"] == 45
    smaller = printed(capfd, "samples/images.npy", "real/images.npy", "--size", "16", "--batch-size", "7")
    assert as_printed(score_images(SAMPLES, REAL, features="random-conv", size=16, batch_size=7)) == smaller
    assert "|size:16x16|" in smaller[0]["signature"]


def test_a_path_is_no_name(capfd: pytest.CaptureFixture[str]) -> None:
    Path("shapes").mkdir()
    np.save("shapes/images.npy", REAL)
    with pytest.raises(InputError, match=r"shapes: no .* in this folder"):
        score_images(SAMPLES, Path("shapes"), features="random-conv")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score_images(SAMPLES / np.float32(255), REAL), r"samples: float32 \[50, 3, 32, 32\]; give uint8"),  # type: ignore[arg-type]
        (lambda: score_images(SAMPLES, REAL.transpose(0, 2, 3, 1)), r"reference: uint8 \[200, 32, 32, 3\]; give uint8"),
        (lambda: score_images(SAMPLES[0], REAL), r"samples: uint8 \[3, 32, 32\]; give uint8 \[N, 3, H, W\]"),
        (lambda: score_images("nowhere.npz", REAL), "nowhere.npz: no such file"),
        (lambda: score_images(SAMPLES, REAL, ()), "--metrics: name at least one of fid, kid"),
        (lambda: score_images(SAMPLES, REAL, ["fdi"]), "--metrics 'fdi': choose from fid, kid"),  # type: ignore[list-item]
        (lambda: score_images(SAMPLES, REAL, features="vgg"), "--features 'vgg': choose from inception, random-conv"),
        (lambda: score_images(SAMPLES, REAL, features="random-conv", count=0), "--count 0: must be at least 1"),
        (lambda: score_images(SAMPLES, REAL, features="random-conv", batch_size=0), "--batch-size 0: must be at"),
        (lambda: score_images(SAMPLES, REAL, features="random-conv", precision="bf16"), "--precision bf16"),
        (lambda: score_images(SAMPLES[:1], REAL, features="random-conv"), r"images.npy: fid of 1 image\(s\)"),
    ],
)
def test_a_mistake_is_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as raised:
        call()
    assert "\n" not in str(raised.value)
