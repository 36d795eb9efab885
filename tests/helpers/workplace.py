"""A folder with the files that the documentation's commands read."""

import gzip
import json
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
from PIL import Image

from data.images.shapes import draw_shapes
from eval import fid, ngrams
from images.train import train as train_on_images
from leaderboards import build, submit
from tests.helpers.paths import ROOT
from tests.helpers.runs import tiny_images, tiny_text
from tests.helpers.text import short_lines, write_lines
from textgan.train import train

# Flags that keep commands from the project's own records and tables.
OWN_RECORDS = ("--records", "leaderboards/records")
OWN_TABLES = (*OWN_RECORDS, "--output", "out", "--readme", "none.md")


def fill_workplace(folder: Path) -> None:
    """Put texts, images, runs, counts, records and tables into a new folder, under the documentation's names."""
    folder.mkdir()
    with chdir(folder):
        _write_inputs()
        _train()
        fid.main(
            ["stats", "folder-of-images", "--size", "32", "--features", "random-conv", "--output", "reference.npz"]
        )
        for part in ("part-1", "part-2"):
            ngrams.main(["build", f"{part}.txt.gz", "--output", f"{part}.ngrams"])
        for task in ("first", "my-task"):
            submit.main(["suites/suite", "--task", task, *OWN_RECORDS])
        samples = ["samples.txt", "--task", "my-texts", "--name", "a model", "--reference", "corpus.txt.gz"]
        submit.main([*samples, "--hash-only", *OWN_RECORDS])
        build.main([*OWN_TABLES])


def _write_inputs() -> None:
    write_lines(Path("corpus.txt"), short_lines()[:600])
    with gzip.open("corpus.txt.gz", "wb") as corpus:
        corpus.write(Path("corpus.txt").read_bytes())
    shutil.copy("corpus.txt.gz", "captions.txt.gz")
    Path("samples.txt").write_bytes(b"the cat sat on a mat\n" * 20)
    Path("other.txt").write_bytes(b"a dog sat on the mat\n" * 30)
    for part in ("part-1", "part-2"):
        with gzip.open(f"{part}.txt.gz", "wb") as file:
            file.write(f"a line of {part}\n".encode())
    for suite in ("suite.toml", "controls.toml"):
        Path(suite).write_text('[[method]]\npreset = "ttur-small"\n', "utf-8")
    shutil.copytree(ROOT / "leaderboards" / "suites", "leaderboards/suites")
    Path("folder-of-images").mkdir()
    for number, image in enumerate(draw_shapes(0, 70)[0]):
        Image.fromarray(image.transpose(1, 2, 0)).save(Path("folder-of-images", f"{number}.png"))
    np.savez("samples.npz", images=draw_shapes(70, 300)[0])


def _train() -> None:
    """Train on text and on images; copy the runs on text as runs of other presets, and of three ratios of the rates."""
    text, images = Path("runs/quickstart-grammar-seed0"), Path("runs/quickstart-shapes-seed0")
    train(tiny_text("corpus.txt.gz", text, seq_len=32, ngram=6, iterations=4, eval_samples=50))
    train_on_images(tiny_images("quickstart", images))
    likelihood = Path("runs/mle-words-corpus-seed0")
    train(tiny_text("corpus.txt", likelihood, "mle-words", ngram=4, iterations=2, batch_size=2))
    for preset in ("cot-words-ttur", "seqgan-words-ttur"):
        _copy(likelihood, f"runs/{preset}-corpus-seed0", preset=preset)
    for preset in ("ttur-small", "orig-small"):
        for place in ("runs", "suites/suite"):
            _copy(text, f"{place}/{preset}-seed0", preset=preset)
    for ratio in (1, 4, 16):
        rates = {"critic_lr": 1e-3 * ratio**0.5, "generator_lr": 1e-3 / ratio**0.5}
        _copy(text, f"suites/controls/ratio-{ratio}-seed0", **rates)
    (text / "samples" / "2000.txt").write_bytes((text / "samples" / "4.txt").read_bytes())


def _copy(run: Path, place: str, **settings: object) -> None:
    """Copy a run, with other settings in its record."""
    options = Path(shutil.copytree(run, place), "options.json")
    recorded = json.loads(options.read_text("utf-8"))
    recorded["config"] |= settings
    options.write_text(json.dumps(recorded), "utf-8")
