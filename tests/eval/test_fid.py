import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from scipy.linalg import sqrtm

from data.errors import InputError
from data.files import sha256_of_file
from data.images.dataset import ImageOptions, open_dataset
from data.images.shapes import draw_shapes
from eval.images import feature_cache, scores
from eval.images.extractors.extractor import Extractor
from eval.images.extractors.inception import inception_extractor
from eval.images.extractors.random_conv import random_conv_extractor
from eval.images.features import extract
from eval.images.frechet import FeatureStatistics
from eval.images.image_sets import dataset_set
from eval.images.inception import Inception
from eval.images.kid import kid
from eval.images.precision_recall import precision_recall
from tests.helpers.commands import fid_scores, run
from tests.helpers.full_disk import full_disk

Images = NDArray[np.uint8]

RANDOM = ("--features", "random-conv")
DIMS, MADE_BY = 210, f"{random_conv_extractor().signature}/32x32"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 600 shapes as the reference, and 50 others, noisy, as samples."""
    monkeypatch.chdir(tmp_path)
    np.savez("real.npz", images=draw_shapes(0, 600)[0])
    noise = np.random.default_rng(0).normal(0, 20, (50, 3, 32, 32))
    np.savez("samples.npz", images=(draw_shapes(600, 50)[0] + noise).clip(0, 255).astype(np.uint8))
    return tmp_path


def images_of(path: str) -> Images:
    images: Images = np.load(path, allow_pickle=False)["images"]
    return images


def by_general_root(samples: NDArray[np.floating[Any]], reference: NDArray[np.floating[Any]]) -> float:
    """The obvious way, in float64."""
    samples, reference = samples.astype(np.float64), reference.astype(np.float64)
    first, second = np.cov(samples, rowvar=False), np.cov(reference, rowvar=False)
    jitter = 1e-9 * np.eye(len(first))  # of lower rank, which a general root does not like
    root = np.asarray(sqrtm((first + jitter) @ (second + jitter))).real
    means = np.square(samples.mean(0) - reference.mean(0)).sum()
    return float(means + np.trace(first + second - 2 * root))


def test_values_are_those_of_the_images_features(capfd: pytest.CaptureFixture[str]) -> None:
    found = fid_scores(capfd, "samples.npz", "real.npz", *RANDOM, "--metrics", "fid", "kid", "precision-recall")
    first, second = (extract(images_of(path), random_conv_extractor()) for path in ("samples.npz", "real.npz"))
    assert [score["metric"] for score in found] == ["fd-random", "kd-random", "precision-recall"]  # never "fid"
    distance = found[0]["scores"]["fd-random"]
    assert distance["value"] == pytest.approx(by_general_root(first, second), rel=1e-3)
    assert distance["low"] < distance["value"] < distance["high"]
    assert distance["corrected"] is None  # too few images for so many features
    assert found[1]["scores"]["1000 kd-random"]["value"] == pytest.approx(1000 * kid(first, second).value, abs=1e-6)
    shares = precision_recall(first, second)
    assert found[2]["scores"]["precision"]["value"] == shares["precision"].value
    assert found[2]["scores"]["recall"]["value"] == shares["recall"].value
    assert {score["samples"] for score in found} == {50}


def test_the_floor_is_what_as_many_real_images_score_against_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    (score,) = fid_scores(capfd, "samples.npz", "real.npz", *RANDOM)
    features = extract(images_of("real.npz"), random_conv_extractor())
    taken = np.sort(np.random.default_rng(0).choice(600, 50, replace=False))
    expected = by_general_root(features[taken], np.delete(features, taken, 0))
    assert score["scores"]["fd-random"]["floor"] == pytest.approx(expected, rel=1e-3)
    (other,) = fid_scores(capfd, "real.npz", "samples.npz", *RANDOM)
    assert other["scores"]["fd-random"]["floor"] is None
    assert other["scores"]["fd-random"]["corrected"] < other["scores"]["fd-random"]["value"]  # 600 are enough


def test_the_signature_is_that_of_a_training_run(capfd: pytest.CaptureFixture[str]) -> None:
    (score,) = fid_scores(capfd, "samples.npz", "real.npz", *RANDOM)
    real = open_dataset(ImageOptions("real.npz"))
    assert score["signature"] == (
        f"fd-random|features:{random_conv_extractor().signature}|size:32x32|cov:unbiased"
        f"|ref:real.npz@{real.sha256[:12]}|samples:50|v:1"
    )
    assert score["signature"] == str(scores.signature(real, random_conv_extractor(), 50, {}))
    assert score["reference"] == "real.npz (600 images)"


def test_few_images_are_said_to_be_few(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capfd, "eval.fid", "samples.npz", "real.npz", *RANDOM, "--count", "30")
    assert status == 0
    assert err.startswith(f"note: samples.npz: 30 images for {DIMS} features: the distance is far from")
    assert "of 30 samples against real.npz" in out
    assert "|samples:30|" in out
    assert run(capfd, "eval.fid", "real.npz", "samples.npz", *RANDOM)[2] == ""


def test_saved_statistics_score_as_the_images_do(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capfd, "eval.fid", "stats", "real.npz", "--output", "stats.npz", *RANDOM)
    assert (status, out.splitlines()[0]) == (0, "wrote statistics of real.npz (600 images) to stats.npz")
    (expected,) = fid_scores(capfd, "samples.npz", "real.npz", *RANDOM)
    (found,) = fid_scores(capfd, "samples.npz", "stats.npz", *RANDOM)
    for name in ("value", "low", "high"):
        assert found["scores"]["fd-random"][name] == pytest.approx(expected["scores"]["fd-random"][name], abs=1e-9)
    assert found["scores"]["fd-random"]["floor"] is None
    assert f"ref:stats.npz@{sha256_of_file(Path('stats.npz'))[:12]}" in found["signature"]
    # Statistics alone: no extractor is opened, so no weights are fetched for it.
    (both,) = fid_scores(capfd, "stats.npz", "stats.npz")
    assert both["metric"] == "fd-random"
    assert both["scores"]["fd-random"]["value"] == pytest.approx(0, abs=1e-9)


def test_published_statistics_are_taken_for_those_of_the_same_extractor(capfd: pytest.CaptureFixture[str]) -> None:
    features = extract(images_of("real.npz"), random_conv_extractor()).astype(np.float64)
    np.savez("published.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    status, out, err = run(capfd, "eval.fid", "real.npz", "published.npz", *RANDOM, "--json")
    assert status == 0
    assert err == f"note: published.npz names no feature extractor; assuming {MADE_BY}\n"
    (score,) = json.loads(out)
    assert score["scores"]["fd-random"]["value"] == pytest.approx(0, abs=1e-6)
    assert score["reference"] == "published.npz"


def test_features_are_extracted_once(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("samples.npz", "real.npz", *RANDOM, "--metrics", "fid", "kid")
    passed: list[int] = []

    def counted(images: Images, extractor: Extractor, batch_size: int) -> NDArray[np.float32]:
        passed.append(len(images))
        return extract(images, extractor, batch_size)

    monkeypatch.setattr(feature_cache, "extract", counted)
    monkeypatch.setattr(feature_cache, "statistics_of", lambda *_: pytest.fail("extracted again"))
    first = fid_scores(capfd, *arguments)
    assert sorted(passed) == [50, 600]
    assert fid_scores(capfd, *arguments) == first
    assert sorted(passed) == [50, 600]


def test_a_damaged_cache_entry_is_made_again(capfd: pytest.CaptureFixture[str], cache: Path) -> None:
    expected = fid_scores(capfd, "samples.npz", "real.npz", *RANDOM)
    for path in (*cache.glob("features/*/features.npy"), *cache.glob("features/*/statistics.npz")):
        path.write_bytes(path.read_bytes()[:-9] + b"\x55" * 9)
    status, out, err = run(capfd, "eval.fid", "samples.npz", "real.npz", *RANDOM, "--json")
    assert status == 0
    assert json.loads(out) == expected
    assert err.count("damaged cache entry") == 3


def test_the_samples_of_a_run_are_those_drawn_beside_it(capfd: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    Path("run/options.json").write_text("{}", "utf-8")
    status, _, err = run(capfd, "eval.fid", "run", "real.npz", *RANDOM)
    assert status == 2
    assert err == (
        "error: run: a run without samples.npz; draw them: "
        "python -m images.sample run --count 50000 --output run/samples.npz\n"
    )
    Path("run/samples.npz").write_bytes(Path("samples.npz").read_bytes())
    assert fid_scores(capfd, "run", "real.npz", *RANDOM) == fid_scores(capfd, "samples.npz", "real.npz", *RANDOM)


def test_inception_features_alone_are_called_fid(capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    state = {name: value for name, value in Inception().state_dict().items() if "num_batches" not in name}
    save_file(state, "weights.safetensors")
    np.savez("few.npz", images=draw_shapes(0, 2)[0])
    flags = ("--weights", "weights.safetensors", "--resize", "pytorch-fid", "--count", "10")
    (score,) = fid_scores(capfd, "samples.npz", "few.npz", *flags, "--metrics", "inception-score")
    assert score["scores"]["inception-score"]["value"] == 1  # one image a split
    flags = (*flags[:-1], "2")
    (score,) = fid_scores(capfd, "samples.npz", "few.npz", *flags)
    extractor = inception_extractor(Path("weights.safetensors"), "pytorch-fid")
    first, second = (extract(images_of(path)[:2], extractor) for path in ("samples.npz", "few.npz"))
    # Two images span a line: the roots of covariances u u^T and v v^T share |u . v|.
    u, v = ((features[0] - features[1]).astype(np.float64) / np.sqrt(2) for features in (first, second))
    expected = np.square(first.mean(0) - second.mean(0)).sum() + u @ u + v @ v - 2 * abs(u @ v)
    assert score["scores"]["fid"]["value"] == pytest.approx(float(expected), rel=1e-4)
    assert f"fid|features:{extractor.signature}|size:32x32|" in score["signature"]


def write_folder(name: str, *images: Image.Image) -> None:
    Path(name).mkdir()
    for index, image in enumerate(images):
        image.save(Path(name, f"{index}.png"))


def test_what_is_converted_scores_as_its_conversion(capfd: pytest.CaptureFixture[str]) -> None:
    # As data.images.decoding says: grey three times, transparency over white, 16 bits divided by 257, sizes by --size.
    random = np.random.default_rng(1)
    grey, colour = random.integers(0, 256, (32, 32), np.uint8), random.integers(0, 256, (32, 32, 3), np.uint8)
    alpha = random.integers(0, 2, (32, 32, 1), np.uint8) * np.uint8(255)
    write_folder(
        "given",
        Image.fromarray(grey),
        Image.fromarray(np.concatenate([colour, alpha], axis=2)),
        Image.fromarray(grey.astype(np.uint16) * 257),
        Image.fromarray(np.repeat(np.repeat(colour, 1, 0), 1, 1)).resize((64, 32), Image.Resampling.NEAREST),
    )
    three = np.repeat(grey[:, :, None], 3, axis=2)
    stretched = np.asarray(Image.fromarray(colour).resize((64, 32), Image.Resampling.NEAREST))
    converted = [three, np.where(alpha > 0, colour, np.uint8(255)), three, stretched[:, 16:48]]
    np.savez("converted.npz", images=np.stack(converted))
    (score,) = fid_scores(capfd, "given", "converted.npz", *RANDOM, "--size", "32")
    assert score["scores"]["fd-random"]["value"] == pytest.approx(0, abs=1e-9)
    (score,) = fid_scores(capfd, "given", "samples.npz", *RANDOM, "--size", "32")
    assert score["scores"]["fd-random"]["value"] > 0.1


def test_two_identical_images_have_a_distance(capfd: pytest.CaptureFixture[str]) -> None:
    same = np.repeat(draw_shapes(0, 1)[0], 2, axis=0)
    np.savez("same.npz", images=same)
    (score,) = fid_scores(capfd, "same.npz", "real.npz", *RANDOM)
    features = extract(images_of("real.npz"), random_conv_extractor()).astype(np.float64)
    one = extract(same[:1], random_conv_extractor())[0]
    # A point and a Gaussian: no covariance to share.
    expected = np.square(features.mean(0) - one).sum() + np.trace(np.cov(features, rowvar=False))
    assert score["scores"]["fd-random"]["value"] == pytest.approx(float(expected), rel=1e-6)
    assert score["scores"]["fd-random"]["low"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("cut real.npz", "cut/0.jpg: damaged image"),
        ("mixed real.npz", "mixed/1.png is 16 x 16 pixels; give --size to crop and resize all images"),
        ("small.npz real.npz", "small.npz is 16x16 and real.npz is 32x32 pixels; give --size to crop and resize both"),
        ("one.npz real.npz", "one.npz: fid of 1 image(s); give at least 2, better 50,000"),
        ("real.npz one.npz", "one.npz: fid of 1 image(s); give at least 2"),
        ("one.npz real.npz --metrics kid", "one.npz: kid of 1 image(s); give at least 2"),
        (
            "real.npz samples.npz --metrics fid precision-recall --count 3",
            "real.npz: precision-recall of 3 image(s); give",
        ),
        ("nan.npz real.npz", "nan.npz: float32 pixels from nan to nan where uint8 is needed; mend what is not finite"),
        ("broken.npz real.npz", "broken.npz: not a readable .npz file"),
        ("nowhere real.npz", "nowhere: no such file or folder; check the path"),
        ("empty real.npz", "empty: no image"),
        ("samples.npz stats.npz --metrics kid", "stats.npz: statistics hold no features, which kid needs"),
        ("samples.npz stats.npz --metrics inception-score", "samples.npz: inception-score needs images and --features"),
        ("samples.npz stats.npz --size 16", f"stats.npz: statistics of {MADE_BY}, not of random-conv-"),
        ("stats.npz real.npz --count 9", "--count 9: stats.npz holds statistics of all its images; give the images"),
        ("samples.npz narrow.npz", f"narrow.npz: statistics of 4 features, but the other set has {DIMS}"),
        (
            "narrow.npz narrow.npz --features inception",
            "narrow.npz: holds no count of images; give it as the reference",
        ),
        ("samples.npz real.npz --features inception --weights broken.npz", "broken.npz: damaged or no weights"),
        ("samples.npz real.npz --features inception --weights no.pth", "no.pth: no such file"),
        ("samples.npz real.npz --count 0", "--count 0: must be at least 1"),
        ("samples.npz real.npz --batch-size 0", "--batch-size 0: must be at least 1"),
        ("samples.npz real.npz --metrics", "--metrics: name at least one of fid, kid, precision-recall"),
        ("samples.npz real.npz --metrics bleu", "bleu"),
        ("samples.npz", "eval.fid --help"),
        ("stats real.npz --output stats.pkl", "--output stats.pkl: must end in .npz"),
        ("stats nan.npz --output new.npz", "nan.npz: float32 pixels"),
        ("stats real.npz", "--output"),
        ("few.npz real.npz --influence i.csv --nearest n.png", "--influence: 9 images for 210 features; give at least"),
        (
            "samples.npz real.npz --metrics inception-score --nearest n.png",
            "inception-score needs images and --features",
        ),
        ("samples.npz real.npz --resize clean", "--resize clean: only with --features inception, inception-spatial"),
        (
            "stats.npz stats.npz --features efficientnet-lite0",
            "the features of stats.npz are computed already",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    workplace: Path, capfd: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    Path("empty").mkdir()
    write_folder("cut")
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save("cut/0.jpg")
    Path("cut/0.jpg").write_bytes(Path("cut/0.jpg").read_bytes()[:-200])
    write_folder("mixed", Image.new("RGB", (32, 32)), Image.new("RGB", (16, 16)))
    np.savez("one.npz", images=images_of("real.npz")[:1])
    np.savez("few.npz", images=images_of("samples.npz")[:9])
    np.savez("small.npz", images=images_of("real.npz")[:, :, :16, :16])
    np.savez("nan.npz", images=np.full((4, 3, 32, 32), np.nan, np.float32))
    Path("broken.npz").write_bytes(Path("real.npz").read_bytes()[:1000])
    np.savez("narrow.npz", mu=np.zeros(4), sigma=np.eye(4))
    FeatureStatistics(9, np.zeros(DIMS), np.eye(DIMS), MADE_BY).save(Path("stats.npz"))
    before = sorted(path for path in workplace.rglob("*") if "cache" not in path.parts)
    chosen = () if "--features" in arguments else RANDOM
    words = arguments.split()
    status, out, err = run(capfd, "eval.fid", *words[:2], *chosen, *words[2:])
    assert (status, out) == (2, "")
    *notes, error = err.splitlines()
    assert message in error
    assert error.startswith("error: ")
    assert all(note.startswith("note: ") for note in notes)
    assert sorted(path for path in workplace.rglob("*") if "cache" not in path.parts) == before
    assert not list(workplace.rglob("*.partial"))


@pytest.mark.parametrize(("kilobytes", "entries"), [(100, 0), (200, 1)])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    workplace: Path, cache: Path, capfd: pytest.CaptureFixture[str], kilobytes: int, entries: int
) -> None:
    # 154 kB of pictures, some 350 kB of statistics.
    with full_disk(kilobytes):
        status, _, err = run(capfd, "eval.fid", "stats", "samples.npz", *RANDOM, "--output", "stats.npz")
    assert len([path for path in cache.glob("*/*") if path.parent.name != "hashes"]) == entries
    assert not list(workplace.rglob("*.partial"))
    assert not Path("stats.npz").exists()
    assert status == 2
    assert re.fullmatch(r"error: .*File too large; raise the file size limit, or choose another .*\n", err)


def test_different_features_do_not_compare() -> None:
    pictures = open_dataset(ImageOptions("samples.npz"))
    real = dataset_set(pictures, random_conv_extractor())
    other = dataset_set(pictures, random_conv_extractor(1))
    with pytest.raises(InputError, match="do not compare"):
        real.statistics().merge(other.statistics())
