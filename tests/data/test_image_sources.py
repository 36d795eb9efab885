from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.errors import InputError
from data.images import sources
from data.images.decoding import decode
from data.images.shapes import draw_shapes
from data.images.sources import open_image_source
from tests.helpers.images import IMAGES, png, write_parquet


def pictures(spec: str, limit: int | None = None) -> tuple[list[Any], list[int | None]]:
    found = list(islice(open_image_source(spec).pictures(), limit))
    return [np.asarray(picture.image).tolist() for picture in found], [picture.label for picture in found]


def test_shapes_go_on_for_ever() -> None:
    source = open_image_source("shapes", 16)
    found = list(islice(source.pictures(), 600))
    images, labels = draw_shapes(0, 600, 16)
    assert np.array_equal(np.stack([np.asarray(picture.image) for picture in found]).transpose(0, 3, 1, 2), images)
    assert [picture.label for picture in found] == labels.tolist()
    assert found[300].where == "shapes image 300"


def test_a_folder_is_its_image_files_in_order(tmp_path: Path) -> None:
    for index, name in enumerate(("a/2.png", "a/10.png", "b.BMP", "c/d/e.PNG")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[index]).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._b.png").write_bytes(b"what another system left")
    assert pictures(str(tmp_path)) == ([IMAGES[1].tolist(), *IMAGES[[0, 2, 3]].tolist()], [None] * 4)
    assert pictures(str(tmp_path / "b.BMP")) == ([IMAGES[2].tolist()], [None])


def test_the_files_of_a_folder_are_decoded_side_by_side_and_come_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(6):
        Image.fromarray(IMAGES[index]).save(tmp_path / f"{index}.png")
    (tmp_path / "4.png").write_bytes(b"no image")
    second_done = Event()
    decoded: list[str] = []

    def decode_the_first_after_the_second(encoded: bytes, where: str) -> Image.Image:
        if where.endswith("0.png"):
            assert second_done.wait(60)  # in one thread the second would never be done
        image = decode(encoded, where)
        decoded.append(Path(where).stem)
        if where.endswith("1.png"):
            second_done.set()
        return image

    monkeypatch.setattr(sources, "_THREADS", 2)
    monkeypatch.setattr(sources, "decode", decode_the_first_after_the_second)
    assert pictures(str(tmp_path), 4) == (IMAGES[:4].tolist(), [None] * 4)
    assert decoded.index("1") < decoded.index("0")
    with pytest.raises(InputError, match=r"^.*/4\.png: not an image that Pillow can read"):
        pictures(str(tmp_path), 5)


def test_a_folder_of_images_is_walked_as_one_of_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, outside = tmp_path / "f", tmp_path / "outside"
    for index, name in enumerate(("b.png", "a/c.jfif", "d.avif", ".ipynb_checkpoints/b.png", ".x.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[index].repeat(8, 0).repeat(8, 1)).save(folder / name, quality=95)
    outside.mkdir()
    Image.fromarray(IMAGES[5]).save(outside / "e.png")
    (folder / "linked").symlink_to(outside)
    (folder / "linked" / "back").symlink_to(folder)
    write_parquet(folder / "c.PARQUET", IMAGES[:2])
    (folder / "notes.txt").write_text("no image")
    found = [picture.where for picture in open_image_source(str(folder)).pictures()]
    names = ("a/c.jfif", "b.png", "c.PARQUET row 0", "c.PARQUET row 1", "d.avif", "linked/e.png")
    assert found == [f"{folder}/{name}" for name in names]
    assert capsys.readouterr().err == f"note: {folder}: left out 1 .txt, 2 hidden, 1 repeated links\n"


def test_other_splits_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "test", "validation"):
        write_parquet(tmp_path / "d" / f"{split}-00000-of-00001.parquet", IMAGES[:1])
    assert pictures(f"{tmp_path}/d") == (IMAGES[:1].tolist(), [0])
    assert "left out 2 .parquet not of split train\n" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "form"), [("x.npy", np.save), ("x.NPZ", np.savez), ("x.data", np.savez)])
def test_the_bytes_decide_what_a_file_of_images_is(tmp_path: Path, name: str, form: Any) -> None:
    with (tmp_path / name).open("wb") as file:
        form(file, IMAGES)
    assert pictures(f"{tmp_path}/{name}")[0] == IMAGES.tolist()
    write_parquet(tmp_path / "rows.data", IMAGES)
    assert pictures(f"{tmp_path}/rows.data") == (IMAGES.tolist(), list(range(6)))


@pytest.mark.parametrize("kind", ["celeba", "cifar10", "shapes"])
def test_an_unset_variable_behind_a_colon_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match=rf"^'{kind}:': nothing after the colon"):
        open_image_source(f"{kind}:")
    with pytest.raises(InputError, match=r"^'': names no source"):
        open_image_source("")


def test_every_form_of_parquet_gives_the_same_pictures(tmp_path: Path) -> None:
    write_parquet(tmp_path / "p" / "data" / "train-00000-of-00002.parquet", IMAGES[:4])
    write_parquet(tmp_path / "p" / "data" / "train-00001-of-00002.parquet", IMAGES[4:], label=4)
    write_parquet(tmp_path / "p" / "data" / "test-00000-of-00001.parquet", IMAGES[:1])
    expected = (IMAGES.tolist(), list(range(6)))
    for spec in (f"{tmp_path}/p", f"hub:{tmp_path}/p", f"hub:{tmp_path}/p:image", f"cifar10:{tmp_path}/p"):
        assert pictures(spec) == expected, spec
    assert pictures(f"hub:{tmp_path}/p", 2) == (IMAGES[:2].tolist(), [0, 1])
    pq.write_table(pa.table({"img": [png(image) for image in IMAGES]}), tmp_path / "bytes.parquet")
    assert pictures(f"{tmp_path}/bytes.parquet") == (IMAGES.tolist(), [None] * 6)


def test_of_the_hubs_layout_the_configuration_and_split_are_read(tmp_path: Path) -> None:
    for index, name in enumerate(("cropped_digits/train", "cropped_digits/extra", "cropped_digits/test")):
        write_parquet(tmp_path / f"{name}-00000-of-00001.parquet", IMAGES[index : index + 1])
    write_parquet(tmp_path / "full_numbers" / "train-00000-of-00001.parquet", IMAGES[3:4])
    assert pictures(f"svhn:{tmp_path}") == (IMAGES[:1].tolist(), [0])
    write_parquet(tmp_path / "converted" / "cropped_digits" / "train" / "0000.parquet", IMAGES[4:])
    write_parquet(tmp_path / "converted" / "cropped_digits" / "test" / "0000.parquet", IMAGES[:1])
    assert pictures(f"svhn:{tmp_path}/converted") == (IMAGES[4:].tolist(), [0, 1])


def test_a_hub_folder_of_image_files(tmp_path: Path) -> None:
    for index, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    assert pictures(f"hub:{tmp_path}") == (IMAGES.tolist(), [None] * 6)


@pytest.mark.parametrize(
    ("name", "asked", "column", "labelled", "crop", "size"),
    [
        ("celeba", ("nielsr/CelebA-faces", None, "train"), "image", False, 108, 64),
        ("cifar10", ("uoft-cs/cifar10", "plain_text", "train"), "img", True, None, 32),
        ("svhn", ("ufldl-stanford/svhn", "cropped_digits", "train"), "image", True, None, 32),
        ("lsun-bedrooms", ("pcuenq/lsun-bedrooms", None, "train"), "image", False, None, 64),
    ],
)
def test_published_data_sets_are_asked_of_the_hub(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    asked: tuple[str, str | None, str],
    column: str,
    labelled: bool,
    crop: int | None,
    size: int,
) -> None:
    # Names, configurations, columns and splits are those of the hub's data set cards.
    write_parquet(tmp_path / "train.parquet", IMAGES, column)
    load = datasets.load_dataset
    requests = []

    def load_local(hub_name: str, configuration: str | None, *, split: str, streaming: bool) -> Any:
        requests.append((hub_name, configuration, split))
        return load(str(tmp_path), split="train", streaming=streaming)

    monkeypatch.setattr(datasets, "load_dataset", load_local)
    source = open_image_source(name)
    assert (source.crop, source.size, source.count) == (crop, size, None)
    found = list(source.pictures())
    assert requests == [asked]
    assert [np.asarray(picture.image).tolist() for picture in found] == IMAGES.tolist()
    assert [picture.label for picture in found] == (list(range(6)) if labelled else [None] * 6)


def test_the_identity_follows_the_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", IMAGES)
    specs = (str(tmp_path), f"hub:{tmp_path}", f"svhn:{tmp_path}")
    before = [open_image_source(spec).identity for spec in specs]
    assert before == [open_image_source(spec).identity for spec in specs]
    write_parquet(tmp_path / "train-0.parquet", IMAGES[:5])
    for spec, identity in zip(specs, before, strict=True):
        assert open_image_source(spec).identity != identity


def test_damage_is_named_by_its_row(tmp_path: Path) -> None:
    files = [png(image) for image in IMAGES]
    files[4] = files[4][:60]
    cells = [{"bytes": file, "path": None} for file in files]
    pq.write_table(pa.table({"image": cells}), tmp_path / "x.parquet")
    for spec in (f"{tmp_path}/x.parquet", f"hub:{tmp_path}"):
        with pytest.raises(InputError, match=r"(x\.parquet|hub:.*) row 4: damaged image"):
            pictures(spec)
    pq.write_table(pa.table({"image": [cells[0], None]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"x\.parquet row 1: no image \(it is NoneType\)"):
        pictures(f"{tmp_path}/x.parquet")


def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", IMAGES, "picture")
    with pytest.raises(InputError, match=r"no column 'image' or 'img'; it has \['label', 'picture'\].*hub:FOLDER:COL"):
        pictures(f"{tmp_path}/x.parquet")
    with pytest.raises(InputError, match=r"no column 'image' or 'img'; it has \['label', 'picture'\].*:COLUMN"):
        pictures(f"hub:{tmp_path}")
    with pytest.raises(InputError, match=r"no column 'body'; it has"):
        pictures(f"hub:{tmp_path}:body")
    with pytest.raises(InputError, match=r"row 0: no image \(it is int\); drop the row, or name another column"):
        pictures(f"hub:{tmp_path}:label")
    assert pictures(f"hub:{tmp_path}:picture")[0] == IMAGES.tolist()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere", "^nowhere: no such file or folder; check the path"),
        ("cifar10:nowhere", "^nowhere: no such file or folder"),
        ("empty", r"^empty: no image \(\.png, .*\) and no \.parquet file in this folder"),
        ("notes.txt", r"^notes\.txt: not a file of images .*\.npz"),
        ("bad.parquet", r"^bad\.parquet: not a readable parquet file"),
        ("bad.png", r"^bad\.png: not an image"),
        ("shapes:64", "'shapes:64': shapes takes no argument; give pixels with --size"),
        ("hub:", "names no data set; say hub:NAME"),
        ("hub:nobody/nothing", "^hub:nobody/nothing: cannot be loaded .* download it and give its folder$"),
        ("celeba", "^hub:nielsr/CelebA-faces: cannot be loaded .* give its folder as celeba:FOLDER$"),
    ],
)
def test_wrong_sources_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    for name in ("notes.txt", "bad.parquet", "bad.png", "empty/notes.txt"):
        Path(name).write_text("no picture, but long enough to be read")
    with pytest.raises(InputError, match=message):
        pictures(spec)
