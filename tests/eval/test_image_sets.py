from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import InputError
from data.images.dataset import ImageOptions, open_dataset
from data.images.shapes import draw_shapes
from eval.images.image_sets import open_images


def test_samples_of_an_older_checkpoint_are_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("000000900", "000001000", ".000001100.x.partial"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "options.json").write_text("{}", "utf-8")
    drawn, images = tmp_path / "samples.npz", draw_shapes(0, 50)[0]
    np.save(tmp_path / "alone.npy", images)
    alone = open_dataset(ImageOptions(str(tmp_path / "alone.npy")))
    older = f"note: {drawn} is of iteration 900, the run's newest checkpoint of 1,000; draw it again\n"
    facts: list[tuple[dict[str, Any], str]] = [({"iteration": 900}, older), ({"iteration": 1000}, ""), ({}, "")]
    for fact, said in facts:
        np.savez(drawn, images=images, **fact)
        pictures = open_images(str(tmp_path), None, None)
        assert np.array_equal(pictures.images, images)
        assert pictures.sha256 == alone.sha256
        assert capsys.readouterr().err == said
    drawn.write_bytes(drawn.read_bytes()[:-99])
    with pytest.raises(InputError, match=r"samples\.npz: not a readable \.npz file"):
        open_images(str(tmp_path), None, None)
