import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.content import oddities
from data.errors import InputError
from data.readers import InvalidUtf8, read_lines

LINES = [f"line {index} – ü" for index in range(400)]
TEXT = "\n".join(LINES).encode() + b"\n"


def zstd(content: bytes) -> bytes:
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as file:
        file.write(content)
    found: bytes = packed.getvalue().to_pybytes()
    return found


def tar(content: bytes, form: int = tarfile.USTAR_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        info = tarfile.TarInfo("samples.txt")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("samples.txt", content)
    return file.getvalue()


def array(_: bytes) -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(5))
    return file.getvalue()


def image(form: str) -> Callable[[bytes], bytes]:
    def encoded(_: bytes) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (9, 9), "red").save(file, form)
        return file.getvalue()

    return encoded


def parquet(content: bytes) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": content.decode().splitlines()}), file)
    return file.getvalue()


def database(_: bytes) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (x)")
    content = connection.serialize()
    connection.close()
    return content


def read(path: Path, invalid_utf8: InvalidUtf8 = "refuse") -> list[str]:
    return list(chain.from_iterable(read_lines(path, invalid_utf8)))


@pytest.mark.parametrize("name", ["s.txt", "s.txt.gz", "s.zst", "s", "s.GZ", "s.bz2", "s.tar.gz", "s.png", "s.npz"])
@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        zstd,
        lambda text: gzip.compress(text[:99]) + gzip.compress(text[99:]),
        lambda text: zstd(text[:99]) + zstd(text[99:]),
        lambda text: b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstd(text),  # a skippable frame, as of pzstd
        lambda text: gzip.compress(zstd(text)),
        lambda text: gzip.compress(gzip.compress(text)),
        lambda text: zstd(gzip.compress(text)),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: gzip.compress(b"\xef\xbb\xbf" + text),
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\r"),
        parquet,
    ],
)
def test_the_bytes_decide_how_a_file_is_read(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(pack(TEXT))
    assert read(tmp_path / name) == LINES


REFUSED = [
    (tar, "a tar archive"),
    (lambda text: tar(text, tarfile.GNU_FORMAT), "a tar archive"),
    (zipped, "a zip archive"),
    (lambda text: zipped(b""), "a zip archive"),
    (bz2.compress, "bzip2 data"),
    (lambda _: bz2.compress(b""), "bzip2 data"),
    (lzma.compress, "xz data"),
    (lambda text: lzma.compress(text, lzma.FORMAT_ALONE), "lzma data"),
    (lambda text: text.decode().encode("utf-16"), "UTF-16"),
    (lambda text: b"\xfe\xff" + text.decode().encode("utf-16-be"), "UTF-16"),
    (lambda text: text.decode().encode("utf-16-le"), "UTF-16LE"),
    (lambda text: text.decode().encode("utf-16-be"), "UTF-16BE"),
    (lambda text: "日本語\n本 日\n".encode("utf-16-le") * 60, "UTF-16LE"),
    (lambda text: text.decode().encode("utf-32"), "UTF-32"),
    (lambda text: text.decode().encode("utf-32-be"), "UTF-32BE"),
    (lambda _: b"%PDF-1.7\n%\xe2\xe3\n", "a PDF document"),
    (array, "a NumPy array"),
    (database, "an SQLite database"),
    (image("PNG"), "a PNG image"),
    (image("JPEG"), "a JPEG image"),
    (image("WEBP"), "a WebP image"),
    (lambda _: b"\x00\x01\x02" * 30, "binary data"),
]


@pytest.mark.parametrize("outside", [bytes, gzip.compress, zstd])
@pytest.mark.parametrize(("pack", "name"), REFUSED)
def test_what_is_no_text_is_refused_by_name(
    tmp_path: Path, outside: Callable[[bytes], bytes], pack: Callable[[bytes], bytes], name: str
) -> None:
    path = tmp_path / "samples.txt"
    path.write_bytes(outside(pack(TEXT)))
    choices: tuple[InvalidUtf8, ...] = ("refuse", "replace")
    for invalid_utf8 in choices:
        with pytest.raises(InputError, match=rf"samples\.txt: {name}.*, not UTF-8 text; "):
            read(path, invalid_utf8)


def test_parquet_inside_gzip_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.parquet.gz").write_bytes(gzip.compress(parquet(TEXT)))
    with pytest.raises(InputError, match=r"s\.parquet\.gz: a Parquet file in gzip, not UTF-8 text; unpack it"):
        read(tmp_path / "s.parquet.gz")


@pytest.mark.parametrize(
    "start", ["PK is a city", "PAR1S", "BM", "RIFFs of the WEBP", "LZIP", "BZh", "II*", "{a}", "%"]
)
def test_text_that_begins_as_binary_files_do_is_text(tmp_path: Path, start: str) -> None:
    (tmp_path / "s.txt").write_text(f"{start}\nmore\n", "utf-8")
    assert read(tmp_path / "s.txt") == [start, "more"]


def test_a_nul_byte_further_on_is_refused_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_bytes(TEXT + b"one\ntw\x00o\n")
    with pytest.raises(InputError, match=r"s\.txt:402: a NUL byte"):
        read(path, "replace")


def test_bytes_of_no_encoding_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    noise = np.random.default_rng(0).integers(1, 256, 4000, np.uint8).tobytes()
    path.write_bytes(noise)
    with pytest.raises(InputError, match=r"not UTF-8 \(byte 0x..\); binary data\?"):
        read(path, "replace")
    path.write_bytes("größer\nкошка".encode("cp1251", "ignore"))
    assert len(read(path, "replace")) == 2


def test_mixed_line_ends_are_read_and_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.txt"
    path.write_bytes(b"one\rtwo\nthree\r\nfour\r")
    assert read(path) == ["one", "two", "three", "four"]
    assert (
        capsys.readouterr().err == f"note: {path}: some lines end in a carriage return alone, others in a line feed\n"
    )
    for alone in (b"one\rtwo\r", b"one\r\ntwo\r\n"):
        path.write_bytes(alone)
        assert read(path) == ["one", "two"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["a", "", "b", "", "c", ""], "every second line is empty"),
        (["", "a", "", "b"], "every second line is empty"),
        (["a", "", "b", "c"], ""),
        (["", "", "", "", "", ""], ""),
        (["a", "", "", "", "", "", "", "", ""], ""),
        (['{"text": "a"}', '{"text": "b"}'], "JSON objects"),
        (["{a}", "{b}"], ""),
        (["id,text", "1,a", '2,"b, c"', "3,d", "4,e"], "every line has 2 columns"),
        (["Well, no.", "Yes, it is, so.", "a", "b, c", "d"], ""),
        (["x" * (1 << 20), "y"] * 5, ""),
    ],
)
def test_what_looks_like_no_samples_is_noted(lines: list[str], found: str) -> None:
    assert [each for each in oddities(lines) if found not in each or not found] == []
    assert len(oddities(lines)) == bool(found)


@pytest.mark.parametrize("name", ["s.csv", "s.TSV", "s.jsonl.gz", "s.json"])
def test_a_tables_name_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / name).write_bytes(b"one\ntwo\n")
    assert read(tmp_path / name) == ["one", "two"]
    assert capsys.readouterr().err.startswith(f"note: {tmp_path / name}: read as text, one sample per line")


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
)
def test_every_type_of_strings_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "t.parquet"
    column = pa.array(["a", None, "ü", "a"], pa.string()).cast(kind)
    pq.write_table(pa.table({"id": ["x"] * 4, "text": column}), path)
    assert read(path) == ["a", "", "ü", "a"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": [["a"], ["b"]], "id": ["x", "y"]}, r"column 'text' is list<\w+: string>, not strings"),
        ({"text": [1, 2], "id": ["x", "y"]}, "column 'text' is int64, not strings"),
        ({"text": [b"a", b"b"], "id": ["x", "y"]}, "column 'text' is binary, not strings"),
        ({"text": [{"a": "b"}] * 2, "id": ["x", "y"]}, "column 'text' is struct<a: string>, not strings"),
        (
            {"tokens": [["a"], ["b"]], "id": ["x", "y"]},
            r"no column `text`, and its string columns are \['tokens', 'id'\]",
        ),
        ({"tokens": [["a"], ["b"]]}, r"column 'tokens' is list<\w+: string>, not strings"),
        ({"n": [1, 2]}, r"no column `text`, and its string columns are \[\]"),
    ],
)
def test_another_column_never_stands_in_for_the_text(
    tmp_path: Path, columns: dict[str, list[object]], message: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=rf"t\.parquet: {message}.*; (write it|name one)"):
        read(tmp_path / "t.parquet")


def test_the_only_column_of_strings_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.table({"n": [1], "sentence": ["a"]}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet") == ["a"]
    assert "no column `text`; column 'sentence', the only column of strings, is read" in capsys.readouterr().err
