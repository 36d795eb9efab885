"""Generated commands that score texts, and checks of their output."""

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st

from tests.helpers.way_in.contents import CONTENTS, Content, one_in
from tests.helpers.way_in.workshop import FORMATS, NAMES, PLACES, RunOutcome, Workshop, counts, format_of

REFERENCE = "the cat sat on a mat\na dog ran home\nthe dog sat\na cat ran, and a dog sat.\n" * 6


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


def acceptable(name: str, content: Content) -> bool:
    """Whether a command takes a name for a file of this content: no flag, no home, no folder, no Parquet file."""
    flag = name.startswith(("-x", "--", "~"))
    return not (flag or Path(name).is_dir() or (name.endswith(".parquet") and "parquet" not in content.kind))


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
