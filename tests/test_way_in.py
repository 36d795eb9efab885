"""Generated files, names, places and flags: a command scores the lines that a file has, or refuses it in one line."""

import bz2
import contextlib
import csv
import gzip
import io
import json
import lzma
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import note as tell
from hypothesis import strategies as st
from PIL import Image

from data import readers
from data.errors import note
from tests.helpers.commands import run
from tests.helpers.paths import ROOT
from tests.helpers.runs import tiny_text
from textgan.train import train

LONG = settings().max_examples > 1000
"""Whether `make fuzz` runs."""


def situations(of_make_fuzz: int, of_tests: int) -> settings:
    return settings(
        max_examples=of_make_fuzz if LONG else of_tests,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )


# --- contents of files ------------------------------------------------------------------------------------------------

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


def one_in(number: int) -> st.SearchStrategy[bool]:
    return st.sampled_from([False] * (number - 1) + [True])


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
    return Content(data.encode(), ending, lines_of(data.encode()), clean=True, kind=ending)


CONTENTS = st.one_of(plain(), plain(), packed(), packed(), broken(), no_text(), parquet(), tables())

# --- names and places -------------------------------------------------------------------------------------------------

_ODD_NAMES = [
    *("a b", "a$b", "$\\frac{$", "lr[1]", "a|b", "two\nlines", "-x", "--json", "%s%d", "'", '"', "a'b\"c", "n" * 200),
    *("модель", "猫", "e\u0301", "a,b", "a;b", "#", "&", "~", "~root", "*", "?", "{a}", "a:b", "lm1b:x", "grammar"),
    *("\x1b[31m", "\u202ex", "\udcff\udcfe", "{", "\\", "a=b", "a\tb", " x ", ".hidden", "None", "..a", "@file"),
    *("<b>", "`id`", "a_b_"),
]
_NAMES = st.one_of(
    st.just("samples"),
    st.sampled_from(_ODD_NAMES),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\x00"), min_size=1, max_size=8),
    st.binary(min_size=1, max_size=5).map(os.fsdecode),
)


def usable(name: str) -> bool:
    return "/" not in name and "\0" not in name and name not in (".", "..") and len(os.fsencode(name)) < 240


NAMES = _NAMES.filter(usable)
PLACES = st.sampled_from(["file", "file", "file", "./file", "absolute", "link", "pipe", "-", "/dev/stdin", "folder"])


class Workshop:
    """A folder of its own for a situation, and what feeds pipes in it until it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.standard_input: bytes | None = None
        self.pipes: list[tuple[Path, bytes]] = []
        self.outputs: set[Path] = set()

    def put(self, content: bytes, name: str, place: str) -> str:
        """Put a file where a situation has it, and return how a command line names it."""
        path = self.folder / name
        if place in ("-", "/dev/stdin"):
            self.standard_input = content
            return place
        if place == "pipe":
            os.mkfifo(path)
            self.pipes.append((path, content))
        elif place == "link":
            (self.folder / "elsewhere").mkdir(exist_ok=True)
            target = self.folder / "elsewhere" / str(len(self.files()))
            target.write_bytes(content)
            path.symlink_to(target)
        elif place == "folder":
            path.mkdir()
            (path / "inside.txt").write_bytes(content)
        else:
            path.write_bytes(content)
        return {"./file": f"./{name}", "absolute": str(path)}.get(place, name)

    def files(self) -> set[Path]:
        return set(self.folder.rglob("*"))


@contextlib.contextmanager
def workshop() -> Iterator[Workshop]:
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield Workshop(Path(folder).resolve())


@contextlib.contextmanager
def fed(shop: Workshop, in_this_process: bool) -> Iterator[None]:
    """Feed standard input and named pipes, whether or not a command reads them."""
    before, threads, ends = os.dup(0), [], []

    def feed(open_end: Callable[[], int], content: bytes) -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(open_end(), "wb") as pipe:
            pipe.write(content)

    if in_this_process:
        if shop.standard_input is None:
            reading = os.open(os.devnull, os.O_RDONLY)
        else:
            reading, writing = os.pipe()
            threads.append(Thread(target=feed, args=(lambda: writing, shop.standard_input)))
        os.dup2(reading, 0)
        os.close(reading)
    for path, content in shop.pipes:
        threads.append(Thread(target=feed, args=(lambda path=path: os.open(path, os.O_WRONLY), content)))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        # A pipe that nobody has opened would hold its writer up.
        ends += [os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path, _ in shop.pipes]
        for thread in threads:
            while thread.is_alive():
                thread.join(0.05)
                for end in ends:
                    with contextlib.suppress(BlockingIOError):
                        os.read(end, 1 << 20)
        for end in ends:
            os.close(end)


# --- commands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunOutcome:
    status: int
    out: str
    err: str


Runner = Callable[[Workshop, str, Sequence[str]], RunOutcome]
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def check(shop: Workshop, outcome: RunOutcome, before: set[Path]) -> None:
    """Assert what holds for every command, whatever it was given."""
    assert outcome.status in (0, 2), outcome
    assert "Traceback" not in outcome.err
    *notes, last = outcome.err.removesuffix("\n").split("\n")
    if outcome.status:
        assert re.match(r"error: .{10}", last), outcome
    else:
        notes.append(last)
    assert all(re.match(r"(note: |warning: |wrote ).{10}", line) for line in notes if line), outcome
    assert not _CONTROLS.search(outcome.err), outcome
    made = shop.files() - before
    if outcome.status:
        assert not made, made
    else:
        assert all(path in shop.outputs or not {*path.parents}.isdisjoint(shop.outputs) for path in made), made
    assert not [path for path in Path(os.environ["TEXTGAN_CACHE"]).rglob("*.partial") if path.parent.name != "spool"]


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Runner:
    """Run a command in this process."""

    def run_here(shop: Workshop, module: str, arguments: Sequence[str]) -> RunOutcome:
        note.cache_clear()
        before = shop.files()
        capfd.readouterr()
        with fed(shop, in_this_process=True):
            outcome = RunOutcome(*run(capfd, module, *arguments))
        check(shop, outcome, before)
        return outcome

    return run_here


def as_process(shop: Workshop, module: str, arguments: Sequence[str]) -> RunOutcome:
    """Run a command as a process."""
    before = shop.files()
    with fed(shop, in_this_process=False):
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            input=shop.standard_input or b"",
            capture_output=True,
            check=False,
        )
    outcome = RunOutcome(
        done.returncode, *(stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr))
    )
    check(shop, outcome, before)
    assert not list(Path(os.environ["TEXTGAN_CACHE"]).rglob("*.partial"))
    return outcome


def counts(outcome: RunOutcome, output_format: str) -> set[int]:
    """Return the numbers of samples that an output tells."""
    if output_format == "json":
        whole = json.loads(outcome.out)
        scores = whole if isinstance(whole, list) else [score for of_file in whole.values() for score in of_file]
        assert all(np.isfinite([each["value"] for each in score["scores"].values()]).all() for score in scores)
        return {score["samples"] for score in scores}
    if output_format == "csv":
        return {int(row["samples"]) for row in csv.DictReader(io.StringIO(outcome.out))}
    found = {
        int(number.replace(",", ""))
        for number in re.findall(r"^\W*[\w-]+ of ([\d,]+) samples", outcome.out, re.MULTILINE)
    }
    return found | set(map(int, re.findall(r"samples\\?:(\d+)", outcome.out)))


FORMATS = st.sampled_from(
    [
        (),
        ("--format", "text"),
        ("--format", "markdown"),
        ("--format", "csv"),
        ("--format", "json"),
        ("--json",),
        ("--format", "latex"),
    ]
)
REFERENCE = "the cat sat on a mat\na dog ran home\nthe dog sat\na cat ran, and a dog sat.\n" * 6


def format_of(flags: Sequence[str]) -> str:
    return "text" if not flags else flags[-1].removeprefix("--")


@dataclass
class Flags:
    """Flags of a command of texts, and whether they allow a score of clean files."""

    words: list[str] = field(default_factory=list)
    fine: bool = True
    ngram: int = 6


@st.composite
def text_flags(draw: st.DrawFn, shop: Workshop, samples: str, module: str) -> Flags:
    """Return flags of a command of texts: right ones, and in some situations also wrong ones."""
    flags, odd = Flags(), draw(one_in(3))

    def pick(right: str, wrong: str = "") -> str:
        return draw(st.sampled_from(right.split(" ") + (wrong.split(" ") if odd and wrong else [])))

    def add(*words: str, fine: bool = True) -> None:
        flags.words += words
        flags.fine &= fine

    (shop.folder / "reference").mkdir()
    Path("reference/real.txt").write_text(REFERENCE)
    reference = pick("text text text folder counts grammar none", "same missing empty odd")
    if reference == "odd":
        reference = shop.put(draw(CONTENTS).data, "odd reference", draw(st.sampled_from(["file", "pipe", "link"])))
        add("--reference", reference, fine=False)
    elif reference != "none":
        places = {"text": "reference/real.txt", "folder": "reference", "counts": os.environ["COUNTS"]}
        places |= {"grammar": "grammar", "same": samples, "missing": "nowhere.txt", "empty": ""}
        fine = reference in ("text", "folder", "grammar") or (reference, module) == ("counts", "eval.jsd")
        add("--reference", places[reference], fine=fine)
    if reference in ("grammar", "none"):
        add("--lines", "50")
    elif draw(one_in(5)):
        lines = pick("5 100", "1 0 -1 99999999999999999999 x")
        add("--lines", lines, fine=reference in ("text", "folder") and lines in ("5", "100"))
    if draw(one_in(4)):
        held_out = pick("reference/real.txt", f"nowhere - {'' if ' ' in samples else samples} ")
        add("--held-out", held_out, fine=held_out == "reference/real.txt")
    if module in ("eval.jsd", "eval.report") and reference != "counts":
        if draw(one_in(4)):
            flags.ngram = int(pick("1 2 3", "9 40 0 -1"))
            add("--ngram", str(flags.ngram), fine=0 < flags.ngram < 4)
        if draw(one_in(4)):
            seq_len = pick("8 64 300", "1 0 1000000000000")
            add("--seq-len", seq_len, fine=seq_len in ("8", "64", "300"))
        if draw(one_in(5)):
            padding = pick("in out", " x")
            add("--padding", padding, fine=padding in ("in", "out"))
    if module in ("eval.bleu", "eval.report"):
        if draw(one_in(3)):
            words = pick("punctuation whitespace characters", "x")
            add("--words", words, fine=words != "x")
        if draw(one_in(4)):
            add("--lower-case")
    if module == "eval.jsd" and draw(one_in(5)):
        level = pick("--curve --level=char", "--level=word --level=x --level= --ngramm=4")
        add(level, fine=level in ("--curve", "--level=char"))
    if draw(one_in(4)):
        add("--invalid-utf8", pick("replace refuse", "ignore"), fine=False)
    return flags


def scorable(content: Content) -> bool:
    """Whether every metric of texts has something to score in a content that is no damage."""
    return content.clean and bool(content.lines) and sum("cat" in line for line in content.lines or ()) >= 2


@st.composite
def a_score(draw: st.DrawFn, shop: Workshop) -> tuple[str, list[str], Content, str, bool]:
    module = draw(st.sampled_from(["eval.jsd", "eval.jsd", "eval.jsd", "eval.bleu"]))
    content, name, place = draw(CONTENTS), draw(NAMES), draw(PLACES)
    samples = shop.put(content.data, name + content.ending, place)
    flags, output = draw(text_flags(shop, samples, module)), draw(FORMATS)
    fine = scorable(content) and flags.fine and acceptable(samples, content)
    return module, [samples, *flags.words, *output], content, format_of(output), fine


def check_score(outcome: RunOutcome, content: Content, arguments: Sequence[str], output: str, fine: bool) -> None:
    assert not (fine and outcome.status), (outcome, arguments)
    if outcome.status == 0:
        assert content.lines is not None, (outcome, arguments)
        numbers = counts(outcome, output)
        assert numbers and max(numbers) == len(content.lines), (outcome, arguments)
        assert "--curve" in arguments or len(numbers) == 1, (outcome, arguments)


@pytest.fixture
def saved_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "counted.txt"
    text.write_text(REFERENCE)
    monkeypatch.setenv("COUNTS", str(tmp_path / "counts"))
    assert run(capfd, "eval.ngrams", "build", str(text), "--output", str(tmp_path / "counts"))[0] == 0


@pytest.mark.fuzz
@situations(900, 12)
@given(data=st.data())
def test_a_score_counts_the_lines_of_the_file(saved_counts: None, here: Runner, data: st.DataObject) -> None:
    with workshop() as shop, pytest.MonkeyPatch.context() as patch:
        module, arguments, content, output, fine = data.draw(a_score(shop))
        patch.setattr(readers, "_BLOCK_BYTES", data.draw(st.sampled_from([1 << 23, 1, 2, 3, 7, 64])))
        outcome = here(shop, module, arguments)
        check_score(outcome, content, arguments, output, fine)
        if outcome.status == 0 and output == "json" and arguments[0] not in arguments[1:]:
            # Neither place, nor container, nor line ends, nor blocks change what is scored.
            patch.undo()
            text = "\ufeff" + "".join(f"{line}\n" for line in content.lines or ())
            (shop.folder / "unpacked").write_text(text, "utf-8", newline="")
            assert here(shop, module, ["unpacked", *arguments[1:]]).out == outcome.out


@st.composite
def a_report(draw: st.DrawFn, shop: Workshop) -> tuple[list[str], list[str], list[Content], str, bool]:
    """Return the files, all arguments, the files' contents, the format, and whether a report must come."""
    number = draw(st.integers(1, 3))
    contents = [draw(CONTENTS) for _ in range(number)]
    if draw(st.booleans()):  # most reports need files of the same length
        contents = [contents[0]] * number
    files: list[str] = []
    for content in contents:
        place = draw(PLACES if "-" not in files and "/dev/stdin" not in files else st.just("file"))
        name = draw(NAMES)
        folder = draw(st.sampled_from(["", "a/", "b c/"])) if place in ("file", "link", "pipe") else ""
        (shop.folder / folder).mkdir(exist_ok=True)
        if (shop.folder / folder / (name + content.ending)).exists():
            name += str(len(files))
        if len(os.fsencode(name + content.ending)) > 255:
            name = f"n{len(files)}"
        files.append(shop.put(content.data, folder + name + content.ending, place))
    flags, output = draw(text_flags(shop, files[0], "eval.report")), draw(FORMATS)
    fine = flags.fine and len({len(content.lines or []) for content in contents}) == 1 and len(set(files)) == number
    fine &= all(map(scorable, contents)) and all(map(acceptable, files, contents))
    if draw(one_in(3)):
        count = draw(st.sampled_from(["1", "2", "3", "20", "0", "-1"]))
        flags.words += ["--count", count]
        fine = False
    if draw(one_in(10)):
        plot = draw(st.sampled_from(["a.png", "$\\frac{$.svg", "b.pdf", "x.docx", "nowhere/a.png", "-", "reference"]))
        flags.words += ["--plot", plot]
        shop.outputs |= {shop.folder / plot, shop.folder / "nowhere"}
        fine = False
    return files, [*files, *flags.words, *output], contents, format_of(output), fine


def acceptable(name: str, content: Content) -> bool:
    """Whether a command takes a name for a file of this content: no flag, no home, no folder, no Parquet file."""
    flag = name.startswith(("-x", "--", "~"))
    return not (flag or Path(name).is_dir() or (name.endswith(".parquet") and "parquet" not in content.kind))


def check_report(
    outcome: RunOutcome,
    files: Sequence[str],
    arguments: Sequence[str],
    contents: Sequence[Content],
    output: str,
    fine: bool,
) -> None:
    assert not (fine and outcome.status), (outcome, arguments)
    if outcome.status:
        return
    lines = [None if content.lines is None else len(content.lines) for content in contents]
    assert None not in lines, (outcome, arguments)
    expected = {int(arguments[arguments.index("--count") + 1])} if "--count" in arguments else set(lines)
    assert counts(outcome, output) == expected, (outcome, arguments)
    if output == "json":
        assert list(json.loads(outcome.out)) == [str(Path(name)) for name in files]
    if output == "csv":
        assert {row["file"] for row in csv.DictReader(io.StringIO(outcome.out, newline=""))} == {
            str(Path(name)).encode("utf-8", "backslashreplace").decode() for name in files
        }
    if output == "markdown":
        rows = [line for line in outcome.out.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(files) + 4}, outcome.out


@pytest.mark.fuzz
@situations(350, 6)
@given(data=st.data())
def test_a_report_counts_the_lines_of_its_files(saved_counts: None, here: Runner, data: st.DataObject) -> None:
    with workshop() as shop:
        files, arguments, contents, output, fine = data.draw(a_report(shop))
        check_report(here(shop, "eval.report", arguments), files, arguments, contents, output, fine)


# --- images -----------------------------------------------------------------------------------------------------------


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


@pytest.mark.fuzz
@situations(350, 6)
@given(data=st.data())
def test_a_distance_counts_the_images(here: Runner, data: st.DataObject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.images.shapes.COUNT", 40)
    with workshop() as shop:
        arguments, number, output, fine = data.draw(a_distance(shop))
        outcome = here(shop, "eval.fid", arguments)
        assert not (fine and outcome.status), (outcome, arguments)
        if outcome.status == 0:
            assert counts(outcome, output) == {number}, (outcome, arguments, shop.files())


# --- samples and records ----------------------------------------------------------------------------------------------


@pytest.fixture
def a_run(tmp_path: Path) -> Path:
    """The folder of a tiny run."""
    (tmp_path / "corpus.txt").write_text(REFERENCE)
    folder = tmp_path / "run"
    train(
        tiny_text(
            tmp_path / "corpus.txt", folder, seq_len=32, dim=2, latent_dim=2, iterations=2, eval_every=1,
            checkpoint_every=1, eval_samples=4, ngram=2,
        )
    )  # fmt: skip
    return folder


@st.composite
def a_sampling(draw: st.DrawFn, shop: Workshop, folder: Path) -> tuple[list[str], Path | None, int]:
    """Return arguments, the file that is written (None: standard output), and how many samples there must be."""
    source = draw(
        st.sampled_from([str(folder), str(folder), str(folder), str(folder / "samples"), "nowhere", "", "link"])
    )
    if source == "link":
        source = draw(NAMES.filter(lambda name: not name.startswith("-")))
        (shop.folder / source).symlink_to(folder)
    count = draw(st.sampled_from([1, 2, 63, 64, 65, 200, 0, -1, 10**20]))
    words = [source, "--count", str(count), "--device", "cpu"]
    if draw(one_in(4)):
        words += ["--seed", draw(st.sampled_from(["0", "7", str(2**63), str(2**70), "-1", "x", ""]))]
    kind = draw(
        st.sampled_from(
            [
                *("none", "-", "/dev/stdout", "/dev/null", "file", "file", "gz", "link", "pipe"),
                *("folder", "odd", "below a file", "export"),
            ]
        )
    )
    name = draw(NAMES.filter(lambda name: not name.startswith(("-", "~"))))
    output: Path | None = None
    if kind in ("-", "/dev/stdout", "/dev/null"):
        words += ["--output", kind]
    elif kind in ("file", "gz", "odd"):
        ending = {"file": ".txt", "gz": draw(st.sampled_from([".gz", ".txt.gz", ".zst", ".GZ"]))}.get(kind)
        output = shop.folder / (name + (ending or draw(st.sampled_from([".png", ".bz2", ".parquet", "", ".tar.gz"]))))
        if draw(st.booleans()) and not output.exists():
            output.write_text("before\n")
        words += ["--output", draw(st.sampled_from([output.name, str(output)]))]
    elif kind == "link":
        (shop.folder / "target.txt").write_text("before\n")
        output = shop.folder / f"{name}.link"
        output.symlink_to("target.txt")
        words.append(f"--output={output.name}")
    elif kind == "folder":
        (shop.folder / "there").mkdir()
        words += ["--output", "there"]
    elif kind == "below a file":
        (shop.folder / "file").touch()
        words += ["--output", "file/x.txt"]
    elif kind == "export":
        words += ["--export", draw(st.sampled_from(["export", f"{name}.d", str(folder), ""]))]
        shop.outputs |= {shop.folder / "export", shop.folder / f"{name}.d"}
    if output is not None:
        shop.outputs |= {output, output.parent / "reference.json", output.parent / f"{output.name}.reference.json"}
    return words, output, count


def lines_in(path: Path) -> int:
    content = path.read_bytes()
    if path.suffix.lower() == ".gz":
        content = gzip.decompress(content)
    if path.suffix.lower() == ".zst":
        content = pa.CompressedInputStream(pa.BufferReader(content), "zstd").read()
    return content.count(b"\n")


@pytest.mark.fuzz
@situations(250, 6)
@given(data=st.data())
def test_samples_are_as_many_as_asked_for(a_run: Path, here: Runner, data: st.DataObject) -> None:
    with workshop() as shop:
        arguments, output, count = data.draw(a_sampling(shop, a_run))
        before = set(a_run.rglob("*"))
        contents = {path: path.read_bytes() for path in shop.files() if path.is_file()}
        outcome = here(shop, "textgan.sample", arguments)
        assert set(a_run.rglob("*")) == before
        if outcome.status:
            assert {path: path.read_bytes() for path in shop.files() if path.is_file()} == contents
        elif output is not None:
            assert lines_in(output) == count
            if output.suffix == ".txt":
                assert run_json(here, shop, output) == count
        elif "--export" not in arguments:
            assert outcome.out.count("\n") == (1 if "/dev/null" in arguments else count)


def run_json(here: Runner, shop: Workshop, samples: Path) -> int:
    outcome = here(shop, "eval.jsd", [str(samples), "--json"])
    return json.loads(outcome.out)[0]["samples"] if outcome.status == 0 else -1


@st.composite
def a_submission(draw: st.DrawFn, shop: Workshop) -> tuple[list[str], Content]:
    content, place = draw(CONTENTS), draw(PLACES)
    samples = shop.put(content.data, draw(NAMES) + content.ending, place)
    (shop.folder / "reference").mkdir()
    Path("reference/real.txt").write_text(REFERENCE)
    words = [samples, "--records", "records"]
    words += ["--task", draw(st.sampled_from(["task"] * 6 + ["../x", "a/b", "", ".", "/tmp/x", draw(NAMES)]))]
    if not draw(one_in(9)):
        words += ["--name", draw(st.one_of(NAMES, NAMES, NAMES, st.sampled_from(["", "a/b", "../x", ".", "con"])))]
    words += ["--reference", draw(st.sampled_from(["reference/real.txt"] * 9 + ["nowhere", "-", ""]))]
    if draw(one_in(3)):
        words += [
            "--metrics",
            *draw(st.sampled_from([["jsd"], ["bleu"], ["jsd", "bleu"], ["word-jsd", "diversity"], ["x"]])),
        ]
    if draw(one_in(4)):
        words += ["--shown", draw(st.sampled_from(["jsd_4", "bleu_2", "nothing"]))]
    if draw(one_in(4)):
        words += draw(
            st.sampled_from([["--hash-only"], ["--title", "a|b\n"], ["--note", "$x$"], ["--words", "characters"]])
        )
    shop.outputs.add(shop.folder / "records")
    return words, content


@pytest.mark.fuzz
@situations(150, 4)
@given(data=st.data())
def test_a_record_is_whole_or_not_there(here: Runner, data: st.DataObject) -> None:
    with workshop() as shop:
        arguments, content = data.draw(a_submission(shop))
        outcome = here(shop, "leaderboards.submit", arguments)
        if outcome.status == 0:
            assert content.lines is not None
            (record,) = (shop.folder / "records").glob("*/*/record.json")
            signature = json.loads(record.read_text("utf-8"))["signature"]
            assert set(re.findall(r"[|]samples:(\d+)[|]", signature)) == {str(len(content.lines))}
            if "--hash-only" not in arguments:
                verified = here(shop, "leaderboards.verify", ["records", "--reference", "reference/real.txt"])
                assert verified.out.startswith("passed"), (verified, arguments)


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.fuzz
@situations(50, 3)
@given(data=st.data())
def test_processes_do_the_same(
    saved_counts: None, a_run: Path, data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    odd = data.draw(st.booleans())
    for name, value in ascii_locale.items():
        monkeypatch.setenv(name, value if odd else "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with workshop() as shop:
        command = data.draw(
            st.sampled_from(["score", "score", "score", "report", "distance", "sampling", "submission"])
        )
        if command == "score":
            module, arguments, content, output, fine = data.draw(a_score(shop))
            check_score(as_process(shop, module, arguments), content, arguments, output, fine)
        elif command == "report":
            files, arguments, contents, output, fine = data.draw(a_report(shop))
            check_report(as_process(shop, "eval.report", arguments), files, arguments, contents, output, fine)
        elif command == "distance":
            arguments, number, output, _ = data.draw(a_distance(shop))
            outcome = as_process(shop, "eval.fid", arguments)
            assert outcome.status or counts(outcome, output) == {number}
        elif command == "sampling":
            arguments, written, count = data.draw(a_sampling(shop, a_run))
            outcome = as_process(shop, "textgan.sample", arguments)
            assert outcome.status or written is None or lines_in(written) == count
        else:
            arguments, content = data.draw(a_submission(shop))
            assert as_process(shop, "leaderboards.submit", arguments).status or content.lines is not None
