import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import InputError
from data.images import arrays as picture_arrays
from data.images.arrays import is_arrays, read_arrays

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), np.uint8)


def images_of(path: Path) -> list[Any]:
    return [image.tolist() for image, _ in read_arrays(path)]


@pytest.mark.parametrize("block_bytes", [1, 130, 1 << 23])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_both_orders_of_axes_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Any, block_bytes: int
) -> None:
    monkeypatch.setattr(picture_arrays, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "x.npz"
    save(path, IMAGES)
    assert images_of(path) == IMAGES.tolist()
    save(path, x=IMAGES.transpose(0, 3, 1, 2).copy(), about=np.array("text"), labels=np.arange(7, dtype=np.uint8))
    assert images_of(path) == IMAGES.tolist()
    assert [label for _, label in read_arrays(path)] == list(range(7))
    np.save(tmp_path / "x.npy", IMAGES)
    assert images_of(tmp_path / "x.npy") == IMAGES.tolist()
    assert [label for _, label in read_arrays(tmp_path / "x.npy")] == [None] * 7


def test_one_channel_becomes_three(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES[..., :1])
    expected = np.concatenate([IMAGES[..., :1]] * 3, axis=3)
    assert images_of(tmp_path / "x.npy") == expected.tolist()
    np.save(tmp_path / "x.npy", IMAGES[..., :1].transpose(0, 3, 1, 2).copy())
    assert images_of(tmp_path / "x.npy") == expected.tolist()


@pytest.mark.parametrize("block_bytes", [130, 1 << 23])
def test_bool_and_sixteen_bits_are_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    monkeypatch.setattr(picture_arrays, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "x.npz"
    np.savez(path, x=IMAGES > 99, labels=np.arange(7)[:, None])
    assert images_of(path) == np.where(IMAGES > 99, 255, 0).tolist()
    assert [label for _, label in read_arrays(path)] == list(range(7))
    wide = np.random.default_rng(2).integers(0, 65536, IMAGES.shape, np.uint16)
    for order in ("<u2", ">u2"):
        np.savez(path, x=wide.astype(order))
        assert images_of(path) == np.rint(wide / 257).tolist()


@pytest.mark.parametrize("name", ["x.NPZ", "x", "x.npy"])
def test_an_archive_is_told_by_its_bytes(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        np.savez(file, IMAGES)
    assert is_arrays(tmp_path / name)
    assert images_of(tmp_path / name) == IMAGES.tolist()


FLOATS = IMAGES / np.float32(255)
NAN = FLOATS.copy()
NAN[3, 2, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"no arrays of images .* among nothing"),
        ({"x": IMAGES[0]}, r"no arrays of images .* among x \[5, 4, 3\]; .*x\[\.\.\., None\]"),
        ({"a": IMAGES, "b": IMAGES}, r"2 arrays of images .* among a \[7, 5, 4, 3\], b \[7, 5, 4, 3\]"),
        ({"x": IMAGES.astype(np.int64)}, r"int64 pixels where uint8 is needed; store 0 to 255 as"),
        ({"x": FLOATS}, r"float32 pixels from 0 to 1 .*np\.rint\(x \* 255\)"),
        ({"x": FLOATS * 2 - 1}, r"float32 pixels from -1 to 1 .*np\.rint\(\(x \+ 1\) \* 127\.5\)"),
        ({"x": FLOATS * 255}, r"float32 pixels from 0 to 255 .*store 0 to 255 as"),
        ({"x": NAN}, r"float32 pixels from nan to nan .*mend what is not finite"),
        ({"x": np.where(FLOATS > 0.5, np.inf, FLOATS)}, r"float32 pixels from 0 to inf .*mend what is not finite"),
        ({"x": IMAGES.astype(np.uint16)}, r"uint16 pixels where uint8 is needed; store 0 to 255 as"),
        ({"x": IMAGES.astype(np.int32) * 257}, r"int32 pixels from 0 to 65535 .*astype\(np\.uint16\)"),
        ({"x": FLOATS * 6 - 3}, r"float32 pixels from -3 to 3 .*bring black to 0 and white to 255"),
        ({"x": IMAGES > 99, "labels": np.eye(7, dtype=int)}, r"labels are int64 \[7, 7\], .*labels\.argmax\(axis=1\)"),
        ({"x": IMAGES, "labels": np.ones((7, 1))}, r"labels are float64 \[7, 1\], .*labels\.astype\(np\.int64\)"),
        ({"x": IMAGES[:, :3]}, r"shape \[7, 3, 4, 3\], either axis may be the channels"),
        ({"x": np.zeros((2, 8, 8, 4), np.uint8)}, r"shape \[2, 8, 8, 4\], no axis of 1 or 3 channels"),
        ({"x": np.asfortranarray(IMAGES)}, r"stored column by column; store np\.ascontiguousarray"),
        ({"x": IMAGES, "labels": np.arange(6)}, r"labels are int64 \[6\], but integers \[7\]"),
        ({"x": IMAGES, "label": np.ones(7)}, r"labels are float64 \[7\], but integers \[7\]"),
    ],
)
def test_wrong_arrays_say_what_to_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(picture_arrays, "_BLOCK_BYTES", 500)
    path = tmp_path / "x.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=rf"x\.npz: {message}"):
        images_of(path)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    objects = np.full((2, 5, 4, 3), None, object)
    objects[0, 0, 0, 0] = Trap()
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    with pytest.raises(InputError, match=r"x\.npy: object pixels where uint8 is needed"):
        images_of(tmp_path / "x.npy")
    assert not (tmp_path / "sprung").exists()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    archive = io.BytesIO()
    np.savez(archive, IMAGES.repeat(20, 0))
    whole = archive.getvalue()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    (tmp_path / "flipped.npz").write_bytes(flipped)
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "text.npy").write_text("no array, but longer than a header's first bytes")
    with zipfile.ZipFile(tmp_path / "inside.npz", "w") as inside:
        inside.writestr("x.npy", b"no array either")
    np.save(tmp_path / "cut.npy", IMAGES)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-1])
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(InputError, match=rf"{path.name}: (not a readable|damaged|cut off)"):
            images_of(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_whatever_is_damaged_the_file_is_named(tmp_path: Path, save: Any) -> None:
    path, random = tmp_path / "x.npz", np.random.default_rng(0)
    save(path, images=IMAGES)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(300):
        damaged = whole.copy()
        damaged[random.integers(len(whole), size=3)] = random.integers(256, size=3)
        path.write_bytes(damaged.tobytes())
        try:
            assert images_of(path) == IMAGES.tolist()  # nothing that counts was hit
        except InputError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 200
