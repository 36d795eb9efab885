"""Generated names and places of files, and what must hold for each command that runs among them."""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import numpy as np
from hypothesis import strategies as st

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
    """The folder of a situation, and the contents of standard input and of named pipes in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.standard_input: bytes | None = None
        self.pipes: list[tuple[Path, bytes]] = []
        self.outputs: set[Path] = set()

    def put(self, content: bytes, name: str, place: str) -> str:
        """Make a file at a place; return the name of it for a command line."""
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


@dataclass(frozen=True)
class RunOutcome:
    status: int
    out: str
    err: str


Runner = Callable[[Workshop, str, Sequence[str]], RunOutcome]

_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def check(shop: Workshop, outcome: RunOutcome, before: set[Path]) -> None:
    """Assert the rules of messages and output files that every command keeps."""
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
    """Return the numbers of samples in the output of a command."""
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


def format_of(flags: Sequence[str]) -> str:
    return "text" if not flags else flags[-1].removeprefix("--")
