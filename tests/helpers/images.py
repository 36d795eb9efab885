"""Small images and files of them."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

IMAGES = np.random.default_rng(1).integers(0, 256, (6, 4, 5, 3), np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_parquet(path: Path, images: NDArray[np.uint8], column: str = "image", label: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": png(image), "path": f"{index}.png"} for index, image in enumerate(images)]
    pq.write_table(pa.table({column: cells, "label": list(range(label, label + len(images)))}), path)
