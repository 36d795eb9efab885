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

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data import readers
from data.errors import note
from tests.test_commands import run

LONG = settings().max_examples > 1000
"""Whether `make fuzz` runs."""


def situations(of_make_fuzz: int, of_tests: int) -> settings:
    return settings(
        max_examples=of_make_fuzz if LONG else of_tests,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )


# --- contents of files ------------------------------------------------------------------------------------------------

ENGLISH = ["the cat sat on a mat", "A dog ran home.", "the dog sat, and the cat ran", "a cat on the mat"]
LINES = st.one_of(
    st.sampled_from(ENGLISH),
    st.sampled_from(["", " ", "\t", "a\tb", '"a, b",c', "{}", '{"text": "a"}', "猫坐在垫子上", "🐈‍⬛ 👩‍👩‍👧", "e\u0301a\u0308", "x" * 3000]),
    st.sampled_from(["\u2028", "\x85", "\x0b\x0c\x1c\x1e", "\ufeff", "\u202e", "�", "\ue000", "$\\frac{$", "\x1b[31mred", "␀"]),
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
    lines = draw(st.lists(LINES, max_size=12))
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]]))
    text = "".join(line + draw(st.sampled_from(ends)) for line in lines)
    if lines and draw(st.booleans()):
        text = text.removesuffix("\n").removesuffix("\r")
    data = text.encode()
    data = b"\xef\xbb\xbf" * draw(st.sampled_from([0, 0, 0, 1])) + data
    return Content(data, lines=lines_of(data), clean=len(data) > 3, kind="plain")


@st.composite
def broken(draw: st.DrawFn) -> Content:
    """Text with bytes that are no UTF-8, or are NUL; binary data."""
    data = draw(plain()).data
    at = draw(st.integers(0, len(data)))
    wrong = draw(st.sampled_from([b"\xff", b"\xe7\x8c", b"\x00", b"\xed\xa0\x80", b"caf\xe9", b"\xc0\x80", bytes(range(256))]))
    data = data[:at] + wrong + data[at:]
    return Content(data, lines=None if b"\x00" in wrong else lines_of(data), kind="broken")


@st.composite
def packed(draw: st.DrawFn) -> Content:
    of = draw(plain())
    kind = draw(st.sampled_from(["gz", "zst", "gz gz", "members", "gz as txt", "zst as txt", "plain as gz", "plain as zst"]))
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
    kind = draw(
        st.sampled_from(
            ["tar", "tar.gz", "zip", "bz2", "xz", "npy", "utf-16", "utf-16-be", "utf-32", "png", "cut gz", "cut zst", "gz and more", "cut parquet"]
        )
    )
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
        whole = {
            "cut gz": lambda: gzip.compress(data),
            "cut zst": lambda: pa.compress(data * 50, codec="zstd", asbytes=True),
            "cut parquet": lambda: parquet_of(pa.table({"text": ["a"] * 9})),
        }[kind]()
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
    nulls = [row if draw(st.integers(0, 5)) else None for row in rows]
    kind = draw(st.sampled_from(["string", "large_string", "dictionary", "list", "binary", "int", "with id", "two", "other name", "string_view"]))
    texts = pa.array(nulls, pa.string())
    others = {"id": pa.array([f"id {number}" for number in range(len(rows))], pa.string())}
    columns = {
        "string": lambda: {"text": texts},
        "large_string": lambda: {"text": texts.cast(pa.large_string()), **others},
        "dictionary": lambda: {**others, "text": texts.dictionary_encode()},
        "list": lambda: {**others, "text": pa.array([[row] for row in nulls], pa.list_(pa.string()))},
        "binary": lambda: {**others, "text": texts.cast(pa.binary())},
        "int": lambda: {**others, "text": pa.array(range(len(rows)), pa.int64())},
        "with id": lambda: {"id": pa.array(range(len(rows)), pa.int64()), "text": texts},
        "two": lambda: {**others, "sentence": texts},
        "other name": lambda: {"number": pa.array(range(len(rows)), pa.int64()), "sentence": texts},
        "string_view": lambda: {"text": texts.cast(pa.string_view()), **others},
    }[kind]()
    refused = kind in ("list", "binary", "int", "two")
    data = parquet_of(pa.table(columns))
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

_NAMES = st.one_of(
    st.just("samples"),
    st.sampled_from(
        ["a b", "a$b", "$\\frac{$", "lr[1]", "a|b", "two\nlines", "-x", "--json", "%s%d", "'", '"', "a'b\"c", "n" * 200, "модель", "猫",
         "e\u0301", "a,b", "a;b", "#", "&", "~", "~root", "*", "?", "{a}", "a:b", "lm1b:x", "grammar", "\x1b[31m", "\u202ex", "\udcff\udcfe", "{", "\\",
         "a=b", "a\tb", " x ", ".hidden", "None", "..a", "@file", "<b>", "`id`", "a_b_"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\x00"), min_size=1, max_size=8),
    st.binary(min_size=1, max_size=5).map(os.fsdecode),
)  # fmt: skip


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
            target = self.folder / "elsewhere" / "content"
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
class Outcome:
    status: int
    out: str
    err: str


Runner = Callable[[Workshop, str, Sequence[str]], Outcome]
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def check(shop: Workshop, outcome: Outcome, before: set[Path]) -> None:
    """Assert what holds for every command, whatever it was given."""
    assert outcome.status in (0, 2), outcome
    assert "Traceback" not in outcome.err
    *notes, last = outcome.err.removesuffix("\n").split("\n")
    if outcome.status:
        assert re.match(r"error: .{10}", last), outcome
    else:
        notes.append(last)
    assert all(re.match(r"(note|warning): .{10}", line) for line in notes if line), outcome
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

    def run_here(shop: Workshop, module: str, arguments: Sequence[str]) -> Outcome:
        note.cache_clear()
        before = shop.files()
        capfd.readouterr()
        with fed(shop, in_this_process=True):
            outcome = Outcome(*run(capfd, module, *arguments))
        check(shop, outcome, before)
        return outcome

    return run_here


def as_process(shop: Workshop, module: str, arguments: Sequence[str]) -> Outcome:
    """Run a command as a process."""
    before = shop.files()
    with fed(shop, in_this_process=False):
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], input=shop.standard_input or b"", capture_output=True, check=False
        )
    outcome = Outcome(done.returncode, *(stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr)))
    check(shop, outcome, before)
    assert not list(Path(os.environ["TEXTGAN_CACHE"]).rglob("*.partial"))
    return outcome


def counts(outcome: Outcome, output_format: str) -> set[int]:
    """Return the numbers of samples that an output tells."""
    if output_format == "json":
        whole = json.loads(outcome.out)
        scores = whole if isinstance(whole, list) else [score for of_file in whole.values() for score in of_file]
        assert all(np.isfinite([each["value"] for each in score["scores"].values()]).all() for score in scores)
        return {score["samples"] for score in scores}
    if output_format == "csv":
        return {int(row["samples"]) for row in csv.DictReader(io.StringIO(outcome.out))}
    found = {int(number.replace(",", "")) for number in re.findall(r"^\W*[\w-]+ of ([\d,]+) samples", outcome.out, re.MULTILINE)}
    return found | set(map(int, re.findall(r"samples\\?:(\d+)", outcome.out)))


FORMATS = st.sampled_from([(), ("--format", "text"), ("--format", "markdown"), ("--format", "csv"), ("--format", "json"), ("--json",), ("--format", "latex")])
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
    flags = Flags()

    def add(*words: str, fine: bool = True) -> None:
        flags.words += words
        flags.fine &= fine

    reference = draw(st.sampled_from(["text", "text", "text", "counts", "same", "grammar", "missing", "empty", "odd", "none", "folder"]))
    (shop.folder / "reference").mkdir()
    Path("reference/real.txt").write_text(REFERENCE)
    if reference == "text":
        add("--reference", "reference/real.txt")
    elif reference == "folder":
        add("--reference", "reference")
    elif reference == "counts":
        add("--reference", os.environ["COUNTS"], fine=module == "eval.jsd")
    elif reference == "same":
        add("--reference", samples, fine=False)
    elif reference == "grammar":
        add("--reference", "grammar", "--lines", "50")
    elif reference in ("missing", "empty"):
        add("--reference", "nowhere.txt" if reference == "missing" else "", fine=False)
    elif reference == "odd":
        add("--reference", shop.put(draw(CONTENTS).data, "odd reference", draw(st.sampled_from(["file", "pipe", "link"]))), fine=False)
    else:
        add("--lines", "40")  # of the grammar
    if draw(st.integers(0, 3)) == 0:
        add("--held-out", draw(st.sampled_from(["reference/real.txt", samples, "nowhere", "", "-"])), fine=False)
    if draw(st.integers(0, 4)) == 0 and "--lines" not in flags.words:
        add("--lines", draw(st.sampled_from(["1", "5", "100", "0", "-1", "99999999999999999999", "x"])), fine=False)
    if module in ("eval.jsd", "eval.report") and reference != "counts":
        if draw(st.integers(0, 3)) == 0:
            flags.ngram = draw(st.sampled_from([1, 2, 3, 9, 40, 0, -1]))
            add("--ngram", str(flags.ngram), fine=0 < flags.ngram < 4)
        if draw(st.integers(0, 3)) == 0:
            add("--seq-len", draw(st.sampled_from(["1", "8", "64", "300", "0", "1000000000000"])), fine=False)
        if draw(st.integers(0, 4)) == 0:
            add("--padding", draw(st.sampled_from(["in", "out", "", "x"])), fine=False)
    if module in ("eval.bleu", "eval.report"):
        if draw(st.integers(0, 2)) == 0:
            add("--words", draw(st.sampled_from(["punctuation", "whitespace", "characters", "x"])), fine=False)
        if draw(st.integers(0, 3)) == 0:
            add("--lower-case")
    if module == "eval.jsd" and draw(st.integers(0, 4)) == 0:
        add(*draw(st.sampled_from([("--curve",), ("--level", "word"), ("--level", "char"), ("--level", "x"), ("--ngramm", "4")])), fine=False)
    if draw(st.integers(0, 3)) == 0:
        add("--invalid-utf8", draw(st.sampled_from(["replace", "refuse"])))
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
    fine = scorable(content) and flags.fine and place != "folder" and not samples.startswith(("-x", "--", "~"))
    fine = fine and not (samples.endswith(".parquet") and not content.kind.startswith("parquet"))
    return module, [samples, *flags.words, *output], content, format_of(output), fine


def check_score(outcome: Outcome, content: Content, arguments: Sequence[str], output: str, fine: bool) -> None:
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
@given(st.data())
def test_a_score_counts_the_lines_of_the_file(saved_counts: None, here: Runner, data: st.DataObject) -> None:
    with workshop() as shop, pytest.MonkeyPatch.context() as patch:
        module, arguments, content, output, fine = data.draw(a_score(shop))
        patch.setattr(readers, "_BLOCK_BYTES", data.draw(st.sampled_from([1 << 23, 1, 2, 3, 7, 64])))
        outcome = here(shop, module, arguments)
        check_score(outcome, content, arguments, output, fine)
        if outcome.status == 0 and output == "json" and arguments[0] not in arguments[1:]:
            # Neither place, nor container, nor line ends, nor blocks change what is scored.
            patch.undo()
            (shop.folder / "unpacked").write_text("".join(f"{line}\n" for line in content.lines or ()), newline="")
            assert here(shop, module, ["unpacked", *arguments[1:]]).out == outcome.out
