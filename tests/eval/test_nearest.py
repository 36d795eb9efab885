"""The figure of samples above their nearest real images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import InputError
from data.images.shapes import draw_shapes
from eval.images.extractors.random_conv import random_conv_extractor
from eval.images.features import extract
from eval.images.nearest import nearest_rows, paired_images
from tests.helpers.commands import run


def test_rows_are_those_of_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.images.nearest._ROWS", 7)
    random = np.random.default_rng(0)
    reference = random.normal(1000, 1, (30, 5)).astype(np.float32)
    samples = np.concatenate([random.normal(1000, 1, (9, 5)), reference[[29, 3]]]).astype(np.float32)
    apart = np.linalg.norm(samples[:, None].astype(np.float64) - reference, axis=2)
    found = nearest_rows(samples, reference)
    assert np.array_equal(found, apart.argmin(1))
    assert found[-2:].tolist() == [29, 3]
    assert not np.array_equal(found, apart.argmax(1))
    assert nearest_rows(samples, np.repeat(reference, 2, 0)).tolist() == (2 * found).tolist()  # the first of equals
    reference[4, 1] = np.nan
    with pytest.raises(InputError, match="NaN, infinity or overflow"):
        nearest_rows(samples, reference)


def test_rows_of_samples_alternate_with_rows_of_real_images() -> None:
    samples, real = draw_shapes(0, 11)[0], draw_shapes(20, 5)[0]
    nearest = np.array([0, 1, 2, 3, 4, 3, 2, 1, 0, 4, 4])
    found = paired_images(samples, real, nearest)
    white = np.full((5, 3, 32, 32), 255)
    expected = [*samples[:8], *real[[0, 1, 2, 3, 4, 3, 2, 1]], *samples[8:], *white, *real[[0, 4, 4]], *white]
    assert np.array_equal(found, np.stack(expected))


def test_the_command_draws_the_first_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images = draw_shapes(0, 100)[0]
    samples = np.concatenate([images[[70]], 255 - images[:39]])
    np.save("samples.npy", samples)
    np.save("real.npy", images[40:])
    flags = ("--features", "random-conv", "--metrics", "kid")
    status, _, err = run(capfd, "eval.fid", "samples.npy", "real.npy", *flags, "--nearest", "nearest.png")
    assert status == 0, err
    grid = np.asarray(Image.open("nearest.png"))
    assert grid.shape == (8 * 34 - 2, 8 * 34 - 2, 3)  # 32 samples and 32 real images, with white lines between them
    ours, real = (extract(part, random_conv_extractor()) for part in (samples, images[40:]))
    nearest = np.linalg.norm(ours[:, None] - real, axis=2).argmin(1)
    assert nearest[0] == 30  # the copy
    for index in (0, 7, 8, 31):
        row, column = divmod(index, 8)
        for down, expected in ((2 * row, samples[index]), (2 * row + 1, images[40 + nearest[index]])):
            cell = grid[34 * down : 34 * down + 32, 34 * column : 34 * column + 32]
            assert np.array_equal(cell, expected.transpose(1, 2, 0))
    np.save("features.npy", ours)
    for name, message in (
        ("features.npy", "--nearest: features.npy holds no images; give images for both"),
        ("samples.npy", "--nearest nearest.gif: must end in .png"),
    ):
        path = "nearest.png" if name == "features.npy" else "nearest.gif"
        chosen = () if name == "features.npy" else flags
        status, _, err = run(capfd, "eval.fid", name, name, *chosen, "--nearest", path)
        assert (status, err) == (2, f"error: {message}\n")
