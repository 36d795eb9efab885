import hashlib
import io
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.errors import InputError
from data.images import dataset as pictures_module
from data.images.__main__ import main
from data.images.dataset import ImageOptions, as_grid, batch_floats, open_dataset, to_uint8
from data.images.shapes import draw_shapes
from tests.helpers.commands import run
from tests.helpers.full_disk import full_disk
from tests.helpers.images import IMAGES, write_parquet
from tests.helpers.paths import ROOT

CHANNELS_FIRST = IMAGES.transpose(0, 3, 1, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    for index, image in enumerate(IMAGES):
        Image.fromarray(image).save(path / f"{index}.png")
    return path


def test_every_source_of_the_same_images_gives_the_same_pictures(tmp_path: Path, folder: Path) -> None:
    np.savez(tmp_path / "last.npz", IMAGES, labels=np.arange(6))
    np.save(tmp_path / "first.npy", CHANNELS_FIRST.copy())
    write_parquet(tmp_path / "rows.parquet", IMAGES)
    hashes = set()
    for spec, labelled in (("images", 0), ("last.npz", 1), ("first.npy", 0), ("rows.parquet", 1)):
        opened = open_dataset(ImageOptions(str(tmp_path / spec)))
        assert opened.name == spec
        assert np.array_equal(opened.images, CHANNELS_FIRST)
        assert (opened.labels is None) == (not labelled)
        assert opened.labels is None or opened.labels.tolist() == list(range(6))
        hashes.add(opened.sha256)
    # It is the hash of the array as NumPy itself would write it.
    np.save(tmp_path / "expected.npy", CHANNELS_FIRST.copy())
    assert hashes == {hashlib.sha256((tmp_path / "expected.npy").read_bytes()).hexdigest()}


def test_shapes_are_the_default() -> None:
    opened = open_dataset(ImageOptions(count=700))
    images, labels = draw_shapes(0, 700, 32)
    assert np.array_equal(opened.images, images)
    assert opened.labels is not None and np.array_equal(opened.labels, labels)
    assert open_dataset(ImageOptions(size=32, count=700)).sha256 == opened.sha256
    assert np.array_equal(open_dataset(ImageOptions(size=64, count=3)).images, draw_shapes(0, 3, 64)[0])


def test_images_cannot_be_written_to_and_the_first_ones_are_used(folder: Path) -> None:
    opened = open_dataset(ImageOptions(str(folder), count=2))
    assert isinstance(opened.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        opened.images[0] = 0
    assert np.array_equal(opened.images, CHANNELS_FIRST[:2])
    assert len(open_dataset(ImageOptions(str(folder), count=100)).images) == 6
    for name in ("0.png", "1.png"):  # one image is enough, and so are two that are equal
        (folder / name).write_bytes((folder / "0.png").read_bytes())
        same = open_dataset(ImageOptions(str(folder), count=2)).images
    assert np.array_equal(same, CHANNELS_FIRST[[0, 0]])
    assert len(open_dataset(ImageOptions(str(folder / "0.png"))).images) == 1


def test_pictures_of_several_sizes_need_a_size(folder: Path) -> None:
    large = Image.fromarray(IMAGES[0, :, :3].repeat(4, 0).repeat(4, 1))
    large.save(folder / "7.png")
    with pytest.raises(InputError, match=r"/0\.png is 5 x 4 and .*/7\.png is 12 x 16 pixels; give --size"):
        open_dataset(ImageOptions(str(folder)))
    opened = open_dataset(ImageOptions(str(folder), size=4))
    assert np.array_equal(opened.images[:6], CHANNELS_FIRST[..., :4])  # the centre, one column less
    centre = large.crop((0, 2, 12, 14)).resize((4, 4), Image.Resampling.BILINEAR)
    assert np.array_equal(opened.images[6].transpose(1, 2, 0), np.asarray(centre))


def test_a_published_crop_is_applied(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.arange(178), np.arange(218))
    Image.fromarray(np.stack([x, y, 0 * x], axis=2).astype(np.uint8)).save(tmp_path / "face.png")
    face = open_dataset(ImageOptions(f"celeba:{tmp_path}")).images
    assert face.shape == (1, 3, 64, 64)
    # A slope stays a slope: pixel i of 64 lies at 35 + (i + 1/2) 108/64 - 1/2 of 178.
    assert np.abs(face[0, 0, 0, 1:-1] - (34.5 + (np.arange(1, 63) + 0.5) * 108 / 64)).max() <= 0.5 + 1e-9
    whole = open_dataset(ImageOptions(str(tmp_path), size=64)).images
    assert np.abs(whole[0, 0, 0, 1:-1] - (-0.5 + (np.arange(1, 63) + 0.5) * 178 / 64)).max() <= 0.5 + 1e-9


def test_the_second_time_comes_from_the_cache_and_a_change_does_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_dataset(ImageOptions(str(folder)))
    with monkeypatch.context() as patch:
        patch.setattr(pictures_module, "_build", None)  # decoding again would fail
        patch.chdir(folder.parent)
        assert open_dataset(ImageOptions("images")).sha256 == first.sha256
    Image.fromarray(IMAGES[1]).save(folder / "0.png")
    again = open_dataset(ImageOptions(str(folder)))
    assert again.sha256 != first.sha256
    assert np.array_equal(again.images[0], CHANNELS_FIRST[1])


@pytest.mark.parametrize("damaged", ["images.npy", "labels.npy"])
def test_a_damaged_cache_is_rebuilt_and_said(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], damaged: str
) -> None:
    write_parquet(tmp_path / "rows.parquet", IMAGES)
    options = ImageOptions(str(tmp_path / "rows.parquet"))
    sha256 = open_dataset(options).sha256
    (file,) = cache.glob(f"pictures/*/{damaged}")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    again = open_dataset(options)
    assert "damaged cache entry" in capsys.readouterr().err
    assert again.sha256 == sha256
    assert np.array_equal(again.images, CHANNELS_FIRST)
    assert again.labels is not None and again.labels.tolist() == list(range(6))


def test_nothing_is_left_behind_when_decoding_fails(folder: Path, cache: Path) -> None:
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:-30])
    with pytest.raises(InputError, match=r"/5\.png: damaged image \(.*truncated.*\); fetch it again"):
        open_dataset(ImageOptions(str(folder)))
    assert list((cache / "pictures").iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with full_disk(100):
        status, _, err = run(capfd, "data.images", "shapes", "--count", "200")
    assert status == 2
    assert re.fullmatch(r"error: .*File too large; .*TEXTGAN_CACHE.*\n", err)
    assert list((cache / "pictures").iterdir()) == []


def test_images_are_never_all_in_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", np.zeros((3000, 64, 64, 3), np.uint8))
    open_dataset(ImageOptions(str(tmp_path / "many.npy"), count=10))  # whatever is imported on the way
    tracemalloc.start()
    try:
        opened = open_dataset(ImageOptions(str(tmp_path / "many.npy")))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert opened.images.nbytes == 3000 * 64 * 64 * 3
    assert peak < opened.images.nbytes * 0.6  # two blocks of 8 MB, of 37


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ImageOptions(size=0), "--size 0: must be at least 1"),
        (ImageOptions(count=0), "--count 0: must be at least 1"),
        (ImageOptions(size=8), "--size 8: shapes need at least 16 pixels"),
    ],
)
def test_bad_options_are_refused(options: ImageOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset(options)


def test_no_images_are_refused(tmp_path: Path, cache: Path) -> None:
    np.save(tmp_path / "none.npy", IMAGES[:0])
    with pytest.raises(InputError, match=r"none\.npy: no images; give a source with at least one"):
        open_dataset(ImageOptions(str(tmp_path / "none.npy")))
    assert list((cache / "pictures").iterdir()) == []


def test_levels_go_to_floats_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8)
    floats = batch_floats(levels)
    assert floats.dtype == np.float32
    assert np.abs(floats - (np.arange(256) / 127.5 - 1)).max() < 1e-7
    assert (floats[0], floats[255]) == (-1, 1)
    assert np.array_equal(to_uint8(floats), levels)
    # The published code cut off where it should round: 0.4 of a level below or above is the same level.
    for shift in (-0.4, 0.4):
        shifted = floats.astype(np.float64) + shift / 127.5
        assert np.array_equal(to_uint8(shifted), levels)
    assert not np.array_equal(((floats + 1 - 0.4 / 127.5) * 127.5).astype(np.uint8), levels)
    assert to_uint8(np.array([-1.5, 1.01, 1e30])).tolist() == [0, 255, 255]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_picture(wrong: float) -> None:
    with pytest.raises(ValueError, match="infinite or NaN"):
        to_uint8(np.array([0, wrong], np.float32))


def test_a_grid_is_eight_a_row_with_lines_between() -> None:
    images = draw_shapes(0, 11, 16)[0]
    grid = np.asarray(as_grid(images)).transpose(2, 0, 1)
    assert grid.shape == (3, 2 * 16 + 2, 8 * 16 + 7 * 2)
    covered = np.zeros(grid.shape[1:], bool)
    for index, image in enumerate(images):
        top, left = index // 8 * 18, index % 8 * 18
        assert np.array_equal(grid[:, top : top + 16, left : left + 16], image)
        covered[top : top + 16, left : left + 16] = True
    assert (grid[:, ~covered] == 255).all()


def test_the_command_prints_what_it_opened_and_writes_a_grid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "grids" / "shapes.png"
    assert main(["shapes", "--size", "16", "--count", "70", "--grid", str(path)]) == 0
    images = open_dataset(ImageOptions(size=16, count=70))
    expected = f"shapes: 70 images of 16 x 16 pixels, 6 classes\nsha256 {images.sha256}\nwrote {path}\n"
    assert capsys.readouterr().out == expected
    with Image.open(path) as grid:
        assert np.array_equal(np.asarray(grid), np.asarray(as_grid(images.images[:64])))


def test_real_images(cifar10_sample: Path) -> None:
    opened = open_dataset(ImageOptions(f"cifar10:{cifar10_sample.parent}"))
    assert opened.images.shape == (10_000, 3, 32, 32)
    assert opened.labels is not None and np.bincount(opened.labels).tolist() == [1000] * 10
    # Krizhevsky's 50,000 training images have channel means 125.3, 123.0 and 113.9.
    assert opened.images.mean(axis=(0, 2, 3)) == pytest.approx([125.3, 123.0, 113.9], abs=1.5)
    rows = pq.read_table(cifar10_sample).slice(7777, 1).to_pylist()
    with Image.open(io.BytesIO(rows[0]["image"]["bytes"])) as image:
        assert np.array_equal(np.asarray(image).transpose(2, 0, 1), opened.images[7777])
    assert opened.labels[7777] == rows[0]["label"]


@pytest.mark.slow
def test_it_starts_without_torch() -> None:
    code = "import sys, data.images.dataset; sys.exit('torch' in sys.modules or 'datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
