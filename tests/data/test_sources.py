import gzip
import re
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data import readers
from data.errors import InputError
from data.readers import InvalidUtf8, read_lines
from data.sources import absolute_source, open_source

LINES = ["first", "", "zweite Zeile – ü", " spaces kept ", "日本"]


def read_all(path: Path, invalid_utf8: InvalidUtf8 = "refuse") -> list[str]:
    return list(chain.from_iterable(read_lines(path, invalid_utf8)))


def lines_of(spec: str) -> list[str]:
    return list(chain.from_iterable(open_source(spec).train()))


@pytest.mark.parametrize("suffix", ["txt", "txt.gz", "txt.zst", "parquet"])
def test_every_file_form_gives_the_same_lines(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"corpus.{suffix}"
    text = ("\n".join(LINES) + "\n").encode()
    match suffix:
        case "txt":
            path.write_bytes(text)
        case "txt.gz":
            path.write_bytes(gzip.compress(text))
        case "txt.zst":
            with pa.output_stream(str(path), compression="zstd") as file:
                file.write(text)
        case "parquet":
            pq.write_table(pa.table({"text": LINES}), path)
    assert lines_of(str(path)) == LINES


def test_a_folder_is_its_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("2\n3\n", "utf-8")
    (tmp_path / "a.txt").write_text("0\n1", "utf-8")
    (tmp_path / "notes.md").write_text("no\n", "utf-8")
    assert lines_of(str(tmp_path)) == ["0", "1", "2", "3"]


@given(text=st.text(st.sampled_from("ab\n\r é\u2028€😀")), block=st.integers(1, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_are_those_of_an_obvious_reader(tmp_path: Path, text: str, block: int) -> None:
    path = tmp_path / "any.txt"
    path.write_bytes(text.encode())
    obvious = re.split("\r\n|\r|\n", text)  # as Python's text files
    if obvious[-1] == "":
        obvious.pop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "_BLOCK_BYTES", block)
        assert list(chain.from_iterable(read_lines(path))) == obvious


def test_a_last_line_without_line_end_keeps_its_last_character(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_bytes(b"one\ntwo")
    assert read_all(path) == ["one", "two"]


def test_a_byte_order_mark_is_dropped_at_the_start_only(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_bytes("\ufeffone\n\ufefftwo\n".encode())
    assert read_all(path) == ["one", "\ufefftwo"]


@pytest.mark.parametrize("block", [3, 7, 1 << 20])
def test_bad_utf8_is_refused_by_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(readers, "_BLOCK_BYTES", block)
    path = tmp_path / "bad.txt"
    path.write_bytes(b"fine\n\xc3\xa9\nbr\xffken\nfine\n")
    with pytest.raises(InputError, match=r"bad\.txt:3: not UTF-8 \(byte 0xff\).*--invalid-utf8 replace"):
        read_all(path)
    assert read_all(path, "replace") == ["fine", "é", "br\ufffdken", "fine"]


def test_damaged_compressed_files_are_named(tmp_path: Path) -> None:
    cut = tmp_path / "cut.txt.gz"
    cut.write_bytes(gzip.compress(b"some text\n" * 1000)[:-20])
    zst = tmp_path / "cut.txt.zst"
    with pa.output_stream(str(zst), compression="zstd") as file:
        file.write(b"some text\n" * 1000)
    zst.write_bytes(zst.read_bytes()[:-5])
    parquet = tmp_path / "not.parquet"
    parquet.write_bytes(b"plain text")
    for path in (cut, zst, parquet):
        with pytest.raises(InputError, match=path.name):
            lines_of(str(path))


def test_a_parquet_row_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], "sentence": ["two\r\nlines", None, "o\u2028ne"]}), path)
    assert lines_of(str(path)) == ["two lines", "", "o\u2028ne"]


def test_an_ambiguous_parquet_file_names_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": ["x"], "b": ["y"]}), path)
    with pytest.raises(InputError, match=r"\['a', 'b'\]"):
        lines_of(str(path))


def test_a_parquet_row_with_nul_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["one", "t\0wo"]}), path)
    with pytest.raises(InputError, match=r"rows\.parquet: row 2: holds a NUL character"):
        lines_of(str(path))


def test_a_hub_data_set_from_its_own_layout(tmp_path: Path) -> None:
    folder = tmp_path / "dataset" / "data"
    folder.mkdir(parents=True)
    for name, text in (("train-00000-of-00002", "ab"), ("train-00001-of-00002", "c"), ("test-00000-of-00001", "t")):
        columns = {"text": list(text), "title": list(text.upper()), "label": list(range(len(text)))}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    assert lines_of(f"hub:{folder.parent}") == ["a", "b", "c"]
    assert lines_of(f"hub:{folder.parent}:title") == ["A", "B", "C"]
    with pytest.raises(InputError, match=r"no column 'body'.*\['label', 'text', 'title'\]"):
        lines_of(f"hub:{folder.parent}:body")
    with pytest.raises(InputError, match="column 'label' is not text"):
        lines_of(f"hub:{folder.parent}:label")
    before = open_source(f"hub:{folder.parent}").identity
    (folder / "train-00001-of-00002.parquet").unlink()
    assert open_source(f"hub:{folder.parent}").identity != before


def test_names_are_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    for spec in ("grammar", "lm1b", "hub:nobody/nothing:title"):
        assert absolute_source(spec) == spec
    assert absolute_source("here") == str(tmp_path / "here")
    assert absolute_source("lm1b:here") == f"lm1b:{tmp_path}/here"
    assert absolute_source("hub:here:title") == f"hub:{tmp_path}/here:title"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no/such/file.txt", "no/such/file.txt: no such file"),
        ("corpus.tar.gz", "lm1b:corpus.tar.gz"),
        ("grammar:5", "--lines"),
        ("grammar:", "^'grammar:': nothing after the colon"),
        ("lm1b:", "^'lm1b:': nothing after the colon"),
        ("lm1b: ", "^'lm1b: ': nothing after the colon"),
        ("hub:", "names no data set"),
        ("hub:someone/text:", "names no column; say hub:someone/text or"),
        ("", "^'': names no source"),
    ],
)
def test_wrong_sources_say_what_to_do(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lines_of(spec)
