"""Archives of images give the images, the order and the hash of the folder that they unpack to."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data.errors import InputError
from data.images.dataset import ImageOptions, open_dataset
from data.images.sources import open_image_source
from tests.helpers.images import IMAGES, png

NAMES = ("b/2.png", "b/10.PNG", "b-1/0.png", "a.png", "b.png", "__MACOSX/z.bmp")  # by parts: "b/" comes before "b-1/"


def write_archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def bmp(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "BMP")
    return file.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_the_folder_it_unpacks_to(
    tmp_path: Path, method: int, capsys: pytest.CaptureFixture[str]
) -> None:
    members = {name: (bmp if name.endswith("bmp") else png)(image) for name, image in zip(NAMES, IMAGES, strict=True)}
    members |= {"b/": b"", "dataset.json": b"{}", "__MACOSX/._a.png": b"what another system left", "LICENSE": b""}
    archive = write_archive(tmp_path / "images.ZIP", members, method)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "folder")
    packed, unpacked = (open_dataset(ImageOptions(str(tmp_path / name))) for name in ("images.ZIP", "folder"))
    assert packed.sha256 == unpacked.sha256
    order = sorted(range(6), key=lambda index: NAMES[index].split("/"))
    assert np.array_equal(packed.images, IMAGES[order].transpose(0, 3, 1, 2))
    in_another_order = sorted(range(6), key=lambda index: NAMES[index])
    assert not np.array_equal(packed.images, IMAGES[in_another_order].transpose(0, 3, 1, 2))
    left_out = "left out 1 .json, 1 hidden, 1 without a suffix\n"
    assert capsys.readouterr().err == f"note: {archive}: {left_out}note: {tmp_path / 'folder'}: {left_out}"


def test_a_member_written_twice_is_the_last_one_and_the_name_of_the_file_does_not_matter(tmp_path: Path) -> None:
    archive = tmp_path / "images.data"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("./0.png", png(IMAGES[0]))
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("./0.png", png(IMAGES[1]))
    (found,) = open_image_source(str(archive)).pictures()
    assert np.array_equal(np.asarray(found.image), IMAGES[1])


def test_arrays_in_a_zip_file_are_still_arrays(tmp_path: Path) -> None:
    with (tmp_path / "x.zip").open("wb") as file:
        np.savez(file, IMAGES)
    assert len(list(open_image_source(str(tmp_path / "x.zip")).pictures())) == 6


def test_errors_name_the_file_in_the_archive(tmp_path: Path) -> None:
    whole = {"0.png": png(IMAGES[0]), "1.png": png(IMAGES[1])}
    damaged = write_archive(tmp_path / "damaged.zip", whole)
    content = damaged.read_bytes()
    at = content.index(whole["1.png"]) + 40
    damaged.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    cut = tmp_path / "cut.zip"
    cut.write_bytes(content[:-30])
    for path, message in (
        (damaged, r"damaged\.zip/1\.png: cannot be read \(Bad CRC-32"),
        (cut, r"cut\.zip: not a readable \.zip archive"),
        (write_archive(tmp_path / "none.zip", {"a.txt": b""}), r"none\.zip: no image \(\.png, .*\) in this archive"),
        (write_archive(tmp_path / "t.zip", {"a.parquet": b"", **whole}), r"t\.zip: holds \.parquet files; unpack it"),
        (write_archive(tmp_path / "b.zip", {"a.png": b"no"}), r"b\.zip/a\.png: not an image that Pillow can read"),
    ):
        with pytest.raises(InputError, match=message):
            list(open_image_source(str(path)).pictures())
