"""Generated contents of text files: the bytes, and the lines that a reader must find in them."""

import bz2
import csv
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image


def situations(of_make_fuzz: int, of_tests: int) -> settings:
    """Return settings of a test: the number of situations in `make fuzz`, and in all other runs."""
    fuzz = settings().max_examples > 1000  # not at import, which may come before the profile is loaded
    return settings(
        max_examples=of_make_fuzz if fuzz else of_tests,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )


def one_in(number: int) -> st.SearchStrategy[bool]:
    """Draw True once in a number of draws, about."""
    return st.sampled_from([False] * (number - 1) + [True])


ENGLISH = ["the cat sat on a mat", "A dog ran home.", "the dog sat, and the cat ran", "a cat on the mat"]

_ODD_LINES = [
    *("", " ", "\t", "a\tb", '"a, b",c', "{}", '{"text": "a"}', "猫坐在垫子上", "🐈‍⬛ 👩‍👩‍👧", "e\u0301a\u0308"),
    *("x" * 3000, "\u2028", "\x85", "\x0b\x0c\x1c\x1e", "\ufeff", "\u202e", "�", "\ue000", "$\\frac{$", "\x1b[31mred"),
]

LINES = st.one_of(
    st.sampled_from(ENGLISH),
    st.sampled_from(_ODD_LINES),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\x00"), max_size=12),
)


@dataclass(frozen=True)
class Content:
    """A file's bytes and name ending, and the lines that a reader must find in it.

    `lines` None: no reader may accept it. `clean`: it has to be accepted, whatever its name.
    """

    data: bytes
    ending: str = ".txt"
    lines: list[str] | None = None
    clean: bool = False
    kind: str = "plain"

    def __repr__(self) -> str:
        return f"<{self.kind} {self.ending} {self.data[:200]!r} {self.lines and len(self.lines)} {self.clean}>"


def lines_of(data: bytes) -> list[str]:
    """Return the lines of a text, independently of our reader: LF, CR LF and CR end a line."""
    return [line.decode("utf-8", "replace") for line in data.removeprefix(b"\xef\xbb\xbf").splitlines()]


@st.composite
def plain(draw: st.DrawFn) -> Content:
    few = draw(one_in(12))
    lines = draw(st.lists(LINES, min_size=0 if few else 2, max_size=12))
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]]))
    text = "".join(line + draw(st.sampled_from(ends)) for line in lines)
    if draw(st.booleans()):
        text = text.removesuffix("\n").removesuffix("\r")
    data = text.encode()
    data = b"\xef\xbb\xbf" * draw(st.sampled_from([0, 0, 0, 1])) + data
    return Content(data, lines=lines_of(data), clean=len(data) > 3, kind="plain")


@st.composite
def broken(draw: st.DrawFn) -> Content:
    """Text with bytes that are no UTF-8, or are NUL; binary data."""
    data = draw(plain()).data
    at = draw(st.integers(0, len(data)))
    wrong = draw(
        st.sampled_from([b"\xff", b"\xe7\x8c", b"\x00", b"\xed\xa0\x80", b"caf\xe9", b"\xc0\x80", bytes(range(256))])
    )
    data = data[:at] + wrong + data[at:]
    return Content(data, lines=None if b"\x00" in wrong else lines_of(data), kind="broken")


@st.composite
def packed(draw: st.DrawFn) -> Content:
    of = draw(plain())
    kind = draw(
        st.sampled_from(["gz", "zst", "gz gz", "members", "gz as txt", "zst as txt", "plain as gz", "plain as zst"])
    )
    data, ending = of.data, ".txt"
    if kind in ("gz", "gz gz", "gz as txt"):
        data = gzip.compress(data, mtime=0)
        data = gzip.compress(data, mtime=0) if kind == "gz gz" else data
    elif kind == "members":
        middle = len(data) // 2
        data = gzip.compress(data[:middle], mtime=0) + gzip.compress(data[middle:], mtime=0)
    elif kind.startswith("zst"):
        data = pa.compress(data, codec="zstd", asbytes=True)
    if "as txt" not in kind:
        ending += ".zst" if "zst" in kind else ".gz"
    return replace(of, data=data, ending=ending, kind=kind)


@st.composite
def no_text(draw: st.DrawFn) -> Content:
    """Archives, other compression, other encodings, damaged files: to be refused."""
    of = draw(plain())
    data = of.data + b"some more words\n"
    kinds = ["tar", "tar.gz", "zip", "bz2", "xz", "npy", "utf-16", "utf-16-be", "utf-32", "png"]
    kind = draw(st.sampled_from([*kinds, "cut gz", "cut zst", "cut parquet", "gz and more"]))
    file = io.BytesIO()
    if kind in ("tar", "tar.gz"):
        with tarfile.open(fileobj=file, mode="w:gz" if kind == "tar.gz" else "w") as archive:
            member = tarfile.TarInfo("a.txt")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        data = file.getvalue()
    elif kind == "zip":
        with zipfile.ZipFile(file, "w") as zipped:
            zipped.writestr("a.txt", data)
        data = file.getvalue()
    elif kind in ("bz2", "xz"):
        data = bz2.compress(data) if kind == "bz2" else lzma.compress(data)
    elif kind == "npy":
        np.save(file, np.frombuffer(data, np.uint8))
        data = file.getvalue()
    elif kind.startswith("utf"):
        text = data.decode()
        data = (b"\xfe\xff" if kind == "utf-16-be" else b"") + text.encode(kind)
    elif kind == "png":
        Image.new("RGB", (4, 4)).save(file, "PNG")
        data = file.getvalue()
    elif kind.startswith("cut"):
        if kind == "cut parquet":
            whole = parquet_of(pa.table({"text": ["a"] * 9}))
        else:
            whole = gzip.compress(data) if kind == "cut gz" else pa.compress(data * 50, codec="zstd", asbytes=True)
        data = whole[: draw(st.integers(12, len(whole) - 1))]
    else:
        data = gzip.compress(data) + b"more"
    return Content(data, draw(st.sampled_from([f".{kind.split()[-1]}", ".txt", ".txt.gz", ""])), kind=kind)


def parquet_of(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


@st.composite
def parquet(draw: st.DrawFn) -> Content:
    rows = draw(st.lists(LINES.filter(lambda line: "\r" not in line), max_size=8))
    nulls = [None if draw(one_in(6)) else row for row in rows]
    kinds = [
        "string",
        "large_string",
        "string_view",
        "dictionary",
        "with id",
        "other name",
        "list",
        "binary",
        "int",
        "two",
    ]
    kind = draw(st.sampled_from(kinds))
    texts = pa.array(nulls, pa.string())
    others = {"id": pa.array([f"id {number}" for number in range(len(rows))], pa.string())}
    ids = pa.array(range(len(rows)), pa.int64())
    columns: dict[str, dict[str, Any]] = {
        "string": {"text": texts},
        "large_string": {"text": texts.cast(pa.large_string()), **others},
        "string_view": {"text": texts.cast(pa.string_view()), **others},
        "dictionary": {**others, "text": texts.dictionary_encode()},
        "with id": {"id": ids, "text": texts},
        "other name": {"number": ids, "sentence": texts},
        "list": {**others, "text": pa.array([[row] for row in nulls], pa.list_(pa.string()))},
        "binary": {**others, "text": texts.cast(pa.binary())},
        "int": {**others, "text": ids},
        "two": {**others, "sentence": texts},
    }
    refused = kind in ("list", "binary", "int", "two")
    data = parquet_of(pa.table(columns[kind]))
    lines = None if refused else [row or "" for row in nulls]
    ending = draw(st.sampled_from([".parquet", ".parquet", ".txt", ""]))
    return Content(data, ending, lines, clean=not refused, kind=f"parquet {kind}")


@st.composite
def tables(draw: st.DrawFn) -> Content:
    rows = draw(st.lists(LINES, min_size=1, max_size=8))
    if draw(st.booleans()):
        data, ending = "".join(json.dumps({"text": row}) + "\n" for row in rows), ".jsonl"
    else:
        file = io.StringIO()
        csv.writer(file).writerows([number, row] for number, row in enumerate(rows))
        data, ending = file.getvalue(), draw(st.sampled_from([".csv", ".tsv"]))
    # JSON Lines without --field are refused by name, and read as text from a pipe.
    return Content(data.encode(), ending, lines_of(data.encode()), clean=ending != ".jsonl", kind=ending)


CONTENTS = st.one_of(plain(), plain(), packed(), packed(), broken(), no_text(), parquet(), tables())
