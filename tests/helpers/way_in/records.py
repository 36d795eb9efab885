"""Generated commands that draw samples and submit them."""

import gzip
from pathlib import Path

import pyarrow as pa
from hypothesis import strategies as st

from tests.helpers.way_in.contents import CONTENTS, Content, one_in
from tests.helpers.way_in.texts import REFERENCE
from tests.helpers.way_in.workshop import NAMES, PLACES, Workshop


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
