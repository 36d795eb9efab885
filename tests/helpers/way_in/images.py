"""Generated commands that compare sets of images."""

import io
from typing import Any

import numpy as np
from hypothesis import note as tell
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.way_in.contents import CONTENTS, one_in
from tests.helpers.way_in.workshop import FORMATS, NAMES, PLACES, Workshop, format_of


@st.composite
def arrays(draw: st.DrawFn) -> tuple[bytes, str, int | None]:
    """Return an .npy or .npz file, its ending, and how many images it holds, None if it is to be refused."""
    number, random = draw(st.sampled_from([5, 6, 7, 9, 0, 1, 2])), np.random.default_rng(draw(st.integers(0, 99)))
    side = draw(st.sampled_from([16, 16, 16, 20, 4]))
    channels = draw(st.sampled_from([1, 3, 3, 3, 3, 4]))
    axes = [(number, side, side, channels), (number, channels, side, side)]
    shape = draw(st.sampled_from([*axes, *axes, (number, side, side)]))
    pixels = random.integers(0, 256, shape).astype(np.uint8)
    kinds = ["uint8", "bool", "uint16", "dark uint16", "float32", "int64", "object", "fortran"]
    kind = draw(st.sampled_from(["uint8"] * 6 + kinds))
    stored = {
        "bool": pixels > 127,
        "uint16": (pixels.astype(np.uint16) | 2) * np.uint16(257),
        "dark uint16": pixels.astype(np.uint16),
        "float32": pixels.astype(np.float32) / 255,
        "int64": pixels.astype(np.int64) - 3,
        "object": pixels.astype(object),
        "fortran": np.asfortranarray(pixels),
    }.get(kind, pixels)
    good = kind in ("uint8", "bool", "uint16") and len(shape) == 4 and channels != 4
    file = io.BytesIO()
    tell(f"{stored.dtype} {stored.shape} {kind}")
    if draw(st.booleans()):
        np.save(file, stored)
        return file.getvalue(), draw(st.sampled_from([".npy", ".npy", ".npz", ".txt", ""])), number if good else None
    more: dict[str, Any] = {}
    kinds = ["none", "[N]", "[N, 1]"]
    labels = draw(st.sampled_from([*kinds, *kinds, "one-hot", "float", "short", "two arrays"]))
    classes = random.integers(0, 10, number)
    if labels == "two arrays":
        more["others"], good = stored, False
    elif labels != "none":
        more["labels"] = {
            "[N]": classes, "[N, 1]": classes[:, None], "one-hot": np.eye(10, dtype=int)[classes],
            "float": classes.astype(float), "short": classes[1:],
        }[labels]  # fmt: skip
        good = good and labels in ("[N]", "[N, 1]")
    tell(f"labels {labels}")
    np.savez(file, images=stored, **more)
    content = file.getvalue()
    if draw(one_in(10)):
        content, good = content[: draw(st.integers(0, len(content) - 1))], False
    return content, draw(st.sampled_from([".npz", ".npz", ".npy", ""])), number if good else None


@st.composite
def image_sets(draw: st.DrawFn, shop: Workshop, prefix: str) -> tuple[str, int | None]:
    """Put a set of images, and return how a command line names it and how many images it has."""
    kinds = ["arrays", "arrays", "arrays", "folder", "folder", "image", "missing", "shapes", "no images"]
    kind = draw(st.sampled_from(kinds if not prefix else ["good"] * 6 + kinds))
    if kind == "good":
        np.save(
            shop.folder / "real images.npy", np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3)).astype(np.uint8)
        )
        return "real images.npy", 9
    name = prefix + draw(NAMES)
    if kind == "arrays":
        content, ending, number = draw(arrays())
        place = draw(PLACES if shop.standard_input is None else st.just("file"))
        return shop.put(content, name + ending, place), None if place == "folder" else number
    if kind == "folder":
        inside = draw(st.lists(NAMES, min_size=2, max_size=8, unique_by=str.lower))
        (shop.folder / name / ".ipynb_checkpoints").mkdir(parents=True)
        number = 0
        for each in inside:
            ending = draw(st.sampled_from([".png", ".png", ".PNG", ".jpg", ".jfif", ".bmp", ".txt"]))
            Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(shop.folder / name / (each + ending), "PNG")
            number += ending != ".txt" and not each.startswith(".")
        Image.new("RGB", (6, 6)).save(shop.folder / name / ".ipynb_checkpoints" / "a.png")
        tell(f"{number} images in {sorted((shop.folder / name).iterdir())}")
        return name, number
    if kind == "image":
        file = io.BytesIO()
        Image.new("RGB", (16, 16)).save(file, draw(st.sampled_from(["PNG", "JPEG", "BMP", "GIF"])))
        ending = draw(st.sampled_from([".png", ".jpg", ".txt", ""]))
        return shop.put(file.getvalue(), name + ending, draw(st.sampled_from(["file", "link"]))), 1
    if kind == "no images":
        content = draw(CONTENTS)
        return shop.put(content.data, name + content.ending, draw(st.sampled_from(["file", "folder"]))), None
    return "shapes" if kind == "shapes" else draw(
        st.sampled_from(["nowhere", "", "shapes:x", "cifar10:", "hub:"])
    ), None


@st.composite
def a_distance(draw: st.DrawFn, shop: Workshop) -> tuple[list[str], int | None, str, bool]:
    samples, number = draw(image_sets(shop, ""))
    reference, _ = draw(image_sets(shop, "ref"))
    words = [samples, reference, "--features", "random-conv", "--device", "cpu"]
    if not draw(one_in(3)):
        words += ["--size", draw(st.sampled_from(["16", "16", "16", "16", "18", "0", "x"]))]
    shapes = "shapes" in (samples, reference)
    if shapes or draw(one_in(4)):
        count = 3 if shapes else draw(st.sampled_from([1, 2, 3, 9, 0]))
        words += ["--count", str(count)]
        number = None if number is None else min(number, count)
    if samples == "shapes":
        number = 3
    metrics = draw(st.sampled_from([["fid"], ["fid"], ["fid"], ["kid"], ["fid", "kid"], ["precision-recall"], ["x"]]))
    output = draw(FORMATS)
    fine = reference == "real images.npy" and "18" not in words and metrics[-1] in ("fid", "kid") and (number or 0) > 1
    fine &= "--size" in words and words[words.index("--size") + 1] == "16" and not samples.startswith(("-x", "--", "~"))
    return [*words, "--metrics", *metrics, *output], number, format_of(output), fine
