"""Features of the user's own: files of features, and a function of images."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.files import sha256_of_file
from data.images.shapes import draw_shapes
from eval.core.sampling import fixed_sample
from eval.images.density_coverage import density_coverage
from eval.images.fid_infinity import frechet
from eval.images.frechet import FeatureStatistics, distance
from eval.images.kid import kid
from eval.images.precision_recall import precision_recall
from tests.helpers.commands import fid_scores, run

RANDOM = np.random.default_rng(0)
SAMPLES, REAL = RANDOM.normal(0.4, 1, (90, 5)), RANDOM.normal(size=(200, 5)).astype(np.float32)
MODULE = """
import numpy as np

def means(images):
    assert images.dtype == np.uint8 and images.shape[1:] == (32, 32, 3)
    return images[:, :, :, :2].mean((1, 2)) / 255

def flat(images):
    return images.mean()

def ragged(images):
    return np.ones((len(images), 2 if len(images) > 1 else 3))

def missing(images):
    return np.where(images[:, 0, 0, :2] > 300, 1.0, np.nan)

value = 3
identity = np.asarray
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("my_means", "bad_features"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    np.save("samples.npy", SAMPLES)
    np.save("real.npy", REAL)
    np.save("images.npy", draw_shapes(0, 41)[0])
    np.save("others.npy", draw_shapes(41, 100)[0])
    return tmp_path


def test_files_of_features_score_by_every_metric(capfd: pytest.CaptureFixture[str]) -> None:
    metrics = ("fid", "kid", "precision-recall", "density-coverage")
    found = fid_scores(capfd, "samples.npy", "real.npy", "--metrics", *metrics)
    values = {name: value for score in found for name, value in score["scores"].items()}
    real = FeatureStatistics.of(REAL, "x")
    assert values["fd-own"]["value"] == pytest.approx(frechet(SAMPLES, real).value, rel=1e-9)
    assert values["fd-own"]["low"] == pytest.approx(frechet(SAMPLES, real).low, rel=1e-9)
    floor = REAL[fixed_sample(200, 90)]
    rest = np.delete(REAL, fixed_sample(200, 90), 0)
    expected = distance(FeatureStatistics.of(floor, "x"), FeatureStatistics.of(rest, "x"))
    assert values["fd-own"]["floor"] == pytest.approx(expected, rel=1e-4)
    assert values["1000 kd-own"]["value"] == pytest.approx(1000 * kid(SAMPLES, REAL).value, rel=1e-9)
    shares = {**precision_recall(SAMPLES, REAL), **density_coverage(SAMPLES, REAL)}
    for name, share in shares.items():
        assert values[name]["value"] == share.value
    digest = sha256_of_file(Path("real.npy"))[:12]
    assert found[0]["signature"] == (f"fd-own|features:own-file|cov:unbiased|ref:real.npy@{digest}|samples:90|v:1")
    (fewer,) = fid_scores(capfd, "samples.npy", "real.npy", "--count", "50")
    assert fewer["scores"]["fd-own"]["value"] == pytest.approx(frechet(SAMPLES[:50], real).value, rel=1e-9)


def test_a_file_of_features_compares_with_published_statistics(capfd: pytest.CaptureFixture[str]) -> None:
    np.savez("published.npz", mu=REAL.mean(0, dtype=np.float64), sigma=np.cov(REAL, rowvar=False))
    status, out, err = run(capfd, "eval.fid", "samples.npy", "published.npz", "--json")
    assert (status, err) == (0, "note: published.npz names no feature extractor; assuming own-file\n")
    value = json.loads(out)[0]["scores"]["fd-own"]["value"]
    assert value == pytest.approx(frechet(SAMPLES, FeatureStatistics.of(REAL, "x")).value, rel=1e-6)


def test_a_function_gives_the_features_of_images(
    workplace: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = workplace / "my_means.py"
    source.write_text(MODULE, "utf-8")
    flags = ("images.npy", "others.npy", "--features", "my_means:means", "--batch-size", "20")
    (score,) = fid_scores(capfd, *flags)
    ours, theirs = (
        np.load(name, allow_pickle=False)[:, :2].astype(np.float64).mean((2, 3)) / 255
        for name in ("images.npy", "others.npy")
    )
    expected = frechet(ours, FeatureStatistics.of(theirs, "x"))
    assert score["scores"]["fd-own"]["value"] == pytest.approx(expected.value, rel=1e-4, abs=1e-8)
    assert f"fd-own|features:own-my_means.means@{sha256_of_file(source)[:12]}|size:32x32|" in score["signature"]
    # A console command has no entry for the working folder in `sys.path`.
    monkeypatch.setattr(sys, "path", [place for place in sys.path if Path(place).resolve() != workplace.resolve()])
    monkeypatch.delitem(sys.modules, "my_means")
    assert fid_scores(capfd, *flags) == [score]
    # Statistics that another file's function made do not compare.
    assert run(capfd, "eval.fid", "stats", *flags[1:], "--output", "stats.npz")[0] == 0
    assert fid_scores(capfd, "images.npy", "stats.npz", *flags[2:])[0]["scores"]["fd-own"]["value"] == pytest.approx(
        score["scores"]["fd-own"]["value"]
    )
    source.write_text(MODULE.replace("255", "256"), "utf-8")
    status, _, err = run(capfd, "eval.fid", "images.npy", "stats.npz", *flags[2:])
    assert status == 2
    made_by = r"own-my_means\.means@(\w+)/32x32"
    assert re.search(rf"stats\.npz: statistics of {made_by}, not of own-my_means\.means@(?!\1)", err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nan.npy real.npy", "nan.npy: NaN or infinity in row 3 (from 0); mend the features, or drop the row"),
        ("samples.npy narrow.npy", "narrow.npy: rows of 4 features, but the other set has 5"),
        ("one.npy real.npy", "one.npy: fid of 1 image(s); give at least 2"),
        ("real.npy one.npy --metrics density-coverage", "one.npy: density-coverage of 1 image(s); give at least 6"),
        ("empty.npy real.npy", "empty.npy: features [0, 5]; give at least one row and one column"),
        ("samples.npy images.npy", "samples.npy holds features, images.npy images; give the same kind for both"),
        ("images.npy real.npy", "real.npy holds features, images.npy images; give the same kind for both"),
        ("samples.npy real.npy --metrics inception-score", "samples.npy: inception-score needs images and --features"),
        ("integers.npy real.npy", "integers.npy: a table of int64; give features as floats [N, D]"),
        ("samples.npy real.npy --size 9", "--size 9: the features of samples.npy are computed already; leave"),
        (
            "stats samples.npy --output s.npz",
            "samples.npy: features, which need no statistics; give the file to eval.fid",
        ),
        ("images.npy others.npy --features vgg", "--features 'vgg': choose from inception, random-conv, "),
        ("images.npy others.npy --features nowhere:f", "--features nowhere:f: Python finds no module nowhere; run the"),
        (
            "images.npy others.npy --features bad_features:f",
            "bad_features:f: bad_features has no function f; check",
        ),
        ("images.npy others.npy --features bad_features:value", "bad_features has no function value"),
        ("images.npy others.npy --features bad_features:identity", "no Python file defines it, so it cannot be signed"),
        ("images.npy others.npy --features bad_features:", "bad_features:: give MODULE:FUNCTION, such as"),
        ("images.npy others.npy --features bad_features:flat", "returned float64 [] for 64 images; return numbers [64"),
        (
            "images.npy others.npy --features bad_features:ragged --batch-size 40",
            "returned 2 and 3 features per image; return equally many for all",
        ),
        ("images.npy others.npy --features bad_features:missing", "NaN or infinity in features of own-bad_features."),
        (
            "images.npy others.npy --features bad_features:f --weights w.pth",
            "--weights w.pth: only with --features",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    workplace: Path, capfd: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    (workplace / "bad_features.py").write_text(MODULE, "utf-8")
    wrong: NDArray[np.float64] = SAMPLES.copy()
    wrong[3, 2] = np.nan
    np.save("nan.npy", wrong)
    np.save("narrow.npy", REAL[:, :4])
    np.save("one.npy", REAL[:1])
    np.save("empty.npy", REAL[:0])
    np.save("integers.npy", np.ones((9, 5), np.int64))
    status, out, err = run(capfd, "eval.fid", *arguments.split())
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err.splitlines()[-1]
    assert len(err.splitlines()) == 1
