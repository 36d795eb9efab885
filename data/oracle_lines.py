"""Text of synthetic oracles: training and held-out lines, drawn from fixed seeds once and cached.

A line is 20 symbols, written as numbers with spaces between.
"""

from pathlib import Path

from data.cache import cache_folder, open_arrays, open_cached, read_manifest, save_array, write_manifest
from data.files import sha256_of_json
from data.oracle import Oracle
from data.readers import Lines, Source

SEQ_LEN = 20
TRAIN_LINES = HELD_OUT_LINES = 10_000
_DRAWS = {"train": (TRAIN_LINES, 11), "held_out": (HELD_OUT_LINES, 12)}  # number of lines, and seed
_DESCRIPTION = "oracle.json"


def oracle_source(oracle: Oracle, name: str) -> Source:
    """Return the source of an oracle's lines; they are drawn when lines are first asked for."""
    identity = ["oracle", oracle.sha256, SEQ_LEN, _DRAWS]
    folder = cache_folder() / "oracles" / sha256_of_json(identity)[:20]

    def build(temporary: Path) -> None:
        for part, (count, seed) in _DRAWS.items():
            save_array(temporary / f"{part}.npy", oracle.draw(count, SEQ_LEN, seed))
        write_manifest(temporary, _DESCRIPTION, {"name": name})

    def lines(part: str) -> Lines:
        drawn = open_cached(folder, lambda whole: open_arrays(whole, read_manifest(whole, _DESCRIPTION)), build)[part]
        yield [" ".join(map(str, symbols)) for symbols in drawn.tolist()]

    words = tuple(map(str, range(oracle.size)))
    return Source(name, identity, lambda: lines("train"), lambda: lines("held_out"), words=words)
