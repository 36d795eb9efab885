import io
import random
import tarfile
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.lm1b import COMPLETE, NAME, Size, open_lm1b
from data.readers import Source
from data.sources import open_source

SMALL = Size(train_lines=99 * 3, held_out_lines=50 * 2)
TRAIN = {
    f"training-monolingual.tokenized.shuffled/news.en-{shard:05d}-of-00100": [f"t {shard} {i}" for i in range(3)]
    for shard in range(1, 100)
}
HELD_OUT = {
    f"heldout-monolingual.tokenized.shuffled/news.en.heldout-{shard:05d}-of-00050": [f"h {shard} {i}" for i in range(2)]
    for shard in range(50)
}


def write_archive(path: Path, leave_out: str = "") -> None:
    members = [*TRAIN.items(), *HELD_OUT.items()]
    random.Random(0).shuffle(members)  # as in the original, where shards are in no order
    with tarfile.open(path, "w:gz") as tar:
        for name, lines in members:
            if name != leave_out:
                content = ("\n".join(lines) + "\n").encode()
                info = tarfile.TarInfo(f"{NAME}/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def lines_of(source: Source) -> tuple[list[str], list[str]]:
    assert source.held_out is not None
    return list(chain.from_iterable(source.train())), list(chain.from_iterable(source.held_out()))


EXPECTED = list(chain(*TRAIN.values())), list(chain(*HELD_OUT.values()))


def test_the_archive_and_its_folder_give_shards_in_numerical_order(tmp_path: Path) -> None:
    archive = tmp_path / "b.tar.gz"
    write_archive(archive)
    source = open_lm1b(archive, size=SMALL)
    assert lines_of(source) == EXPECTED
    assert source.train_lines == 10_000_000
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    assert lines_of(open_lm1b(tmp_path / "unpacked", size=SMALL)) == EXPECTED
    assert lines_of(open_lm1b(tmp_path / "unpacked" / NAME, size=SMALL)) == EXPECTED


def test_the_parquet_form_of_the_hub(tmp_path: Path) -> None:
    folder = tmp_path / "lm1b" / "data"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"text": EXPECTED[0]}), folder / "train-00000-of-00001.parquet")
    pq.write_table(pa.table({"text": EXPECTED[1]}), folder / "test-00000-of-00001.parquet")
    assert lines_of(open_lm1b(tmp_path / "lm1b", size=SMALL)) == EXPECTED
    with pytest.raises(InputError, match="297 train lines, but 30,301,028 were published"):
        open_lm1b(tmp_path / "lm1b")


def test_a_missing_shard_is_refused(tmp_path: Path, cache: Path) -> None:
    archive = tmp_path / "b.tar.gz"
    write_archive(archive, leave_out=next(iter(TRAIN)))
    with pytest.raises(InputError, match="98 of 99 training shards; download"):
        open_lm1b(archive, size=SMALL)
    assert list((cache / "lm1b").iterdir()) == []


def test_a_wrong_number_of_lines_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "b.tar.gz"
    write_archive(archive)
    with pytest.raises(InputError, match="297 lines, but 30,301,028 were published"):
        lines_of(open_lm1b(archive))


def test_the_published_size() -> None:
    # Chelba et al. 2013 and the data set card of billion-word-benchmark/lm1b.
    assert Size(99, 30_301_028, 50, 306_688) == COMPLETE


def test_absent_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file or folder; download .*tar\.gz .*lm1b:FILE"):
        open_source(f"lm1b:{tmp_path}/nothing")


def test_not_an_archive(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "b.tar.gz"
    write_archive(path)
    whole = path.read_bytes()
    for damaged in (b"no archive", whole[: len(whole) // 2], whole[:3000] + bytes(500) + whole[3500:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"not a readable tar\.gz|\d+ of 99 training shards"):
            open_lm1b(path)
    assert list((cache / "lm1b").iterdir()) == []
