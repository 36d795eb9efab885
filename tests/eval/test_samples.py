import gzip
import json
import shutil
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from data import grammar, readers
from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from data.files import write_json
from data.readers import read_lines
from data.tokenizers import PADDING, CharTokenizer
from eval.ngrams import main as ngrams_main
from eval.overlap import main
from eval.report import main as report
from eval.text.cli import CharacterFlags, chosen_options
from eval.text.counts import count_up_to
from eval.text.reference import FOLDER_RECORD, Reference, ReferenceOptions, record_path, reference_record, relocated
from eval.text.reference_counts import ReferenceCounts
from eval.text.samples import EncodedSamples, SampleLines, encode_samples, open_samples, remarks
from tests.helpers.commands import chosen_reference, overlap_scores, values_of
from tests.helpers.oracles import as_dictionary, dictionary_counts, text_dictionary
from tests.helpers.text import counted_text, toy_lines


def reading(*blocks: list[str]) -> SampleLines:
    return SampleLines("toy.txt", lambda: iter(blocks))


def record(samples: Path, options: ReferenceOptions, path: Path | None = None) -> None:
    write_json(path or record_path(samples), reference_record(options, open_corpus(options.corpus)))


def counts_as_text(reference: Reference, ngram: int) -> dict[tuple[str, ...], int]:
    """The reference's n-grams with their counts, as characters; padding is the empty string."""
    tokenizer = reference.text.tokenizer
    assert isinstance(tokenizer, CharTokenizer)
    names = ["", "?", *tokenizer.characters]
    counted = as_dictionary(reference.text.counts[ngram], ngram, tokenizer.size)
    return {tuple(names[symbol] for symbol in window): count for window, count in counted.items()}


def expected_counts(lines: list[str], ngram: int, seq_len: int, padding: bool = True) -> dict[tuple[str, ...], int]:
    counted = text_dictionary(lines, ngram, seq_len, padding)
    return {tuple(chr(code) if code else "" for code in window): count for window, count in counted.items()}


@pytest.fixture
def samples(text_file: Path) -> Path:
    path = text_file.with_name("samples.txt")
    path.write_text("\n".join(text_file.read_text("utf-8").splitlines()[:50]), "utf-8")
    return path


@pytest.mark.parametrize("characters", ["abcdeé ", "abcdeé " + "".join(chr(0x4E00 + i) for i in range(300))])
@pytest.mark.parametrize("block", [8, 50, 1 << 20])
def test_ids_are_those_of_the_vocabulary_whatever_the_blocks(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, characters: str, block: int
) -> None:
    random = Random(0)
    lines = ["".join(random.choices(characters + "zЖ" + PADDING, k=random.randint(0, 12))) for _ in range(60)]
    path = tmp_path / "samples.txt"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    monkeypatch.setattr(readers, "_BLOCK_BYTES", block)
    blocks = len(list(read_lines(path)))
    assert blocks == 1 if block > 50 else blocks > 5
    text = counted_text([characters], 9, 1)
    encoded = encode_samples(open_samples(path, "refuse"), text)
    # Neither the file nor its folder is needed any longer, and nothing is left in it.
    assert list(cache.iterdir()) == []
    path.unlink()
    shutil.rmtree(cache)
    expected = CharTokenizer("".join(sorted(characters))).encode(lines).padded(9)
    assert encoded.ids.dtype == expected.dtype == (np.uint8 if len(characters) < 255 else np.uint16)
    assert encoded.ids.tolist() == expected.tolist()
    cut = [line[:9].replace(PADDING, "") for line in lines]
    unknown = sum(character not in characters for line in cut for character in line)
    assert encoded.unknown_share == pytest.approx(unknown / sum(map(len, cut)))
    assert encoded.cut_lines == sum(len(line) > 9 for line in lines) > 0
    assert encoded.lines_with_tabs == 0


def test_samples_can_be_read_again_from_any_form(tmp_path: Path) -> None:
    lines = ["one", "", "zwei ü", " drei "]
    plain, packed = tmp_path / "samples.txt", tmp_path / "samples.txt.gz"
    plain.write_text("\n".join(lines), "utf-8")
    packed.write_bytes(gzip.compress("\n".join(lines).encode()))
    for path in (plain, packed):
        samples = open_samples(path, "refuse")
        assert list(chain.from_iterable(samples.read())) == list(chain.from_iterable(samples.read())) == lines
        assert samples.name == str(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere.txt", "no such file"), ("folder", "a folder where a file is needed"), ("empty.txt", "is empty")],
)
def test_there_must_be_samples(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match=f"{name}: .*{message}"):
        open_samples(tmp_path / name, "refuse")


def test_invalid_bytes_are_refused_or_replaced(samples: Path, text_file: Path) -> None:
    samples.write_bytes(b"the cat\nsat \xff on\n")
    with pytest.raises(InputError, match=r"samples\.txt:2: not UTF-8 .*--invalid-utf8 replace"):
        main([str(samples), "--reference", str(text_file), "--ngram", "2"])
    text = counted_text(["the cat sat on"], 12, 1)
    assert encode_samples(open_samples(samples, "replace"), text).unknown_share == pytest.approx(1 / 15)


def test_cut_lines_are_counted() -> None:
    text = counted_text(["abc", "abcdefgh"], 5, 1)
    encoded = encode_samples(reading(["abcde", "abcdef"], ["a", "abcdefgh" * 3]), text)
    assert (len(encoded.ids), encoded.cut_lines) == (4, 2)
    assert remarks("toy.txt", encoded, text) == ["toy.txt: 2 of 4 lines are longer than --seq-len 5 and were cut"]


def test_another_script_is_noticed() -> None:
    text = counted_text(["the cat sat on a mat"], 20, 1)
    encoded = encode_samples(reading(["кот на мате", "the cat"]), text)
    assert encoded.unknown_share == pytest.approx(9 / 18)  # of the letters and spaces; padding is no character
    assert remarks("toy.txt", encoded, text) == [
        "toy.txt: 50.0% of the characters do not occur in toy: another script?"
    ]


def test_characters_beyond_the_vocabulary_are_no_other_script() -> None:
    tokenizer = CharTokenizer("abc ")
    counts = count_up_to(tokenizer.encode(["abc xyz"]).padded(20), 1, tokenizer.size, True)
    text = ReferenceCounts("toy", "0" * 64, 1, 20, True, tokenizer, 6, counts)
    encoded = encode_samples(reading(["abc xyz"]), text)
    assert remarks("toy.txt", encoded, text) == [
        "toy.txt: 42.9% of the characters are not among the 4 that are counted of toy, and count as one symbol"
    ]


@pytest.mark.parametrize(("known", "said"), [(99, ["1.0%"]), (100, [])])
def test_a_few_unknown_characters_are_not_worth_a_remark(known: int, said: list[str]) -> None:
    text = counted_text(["a"], 101, 1)
    found = remarks("toy.txt", encode_samples(reading(["a" * known + "b"]), text), text)
    assert found == [f"toy.txt: {share} of the characters do not occur in toy: another script?" for share in said]


def test_a_table_is_noticed_unless_the_reference_has_tabs_too() -> None:
    rows = ["a\tb", "ab", "b\t\ta"]
    with_tabs, without = counted_text(["ab", "a\tb"], 8, 1), counted_text(["ab"], 8, 1)
    assert remarks("t", encode_samples(reading(rows), with_tabs), with_tabs) == []
    encoded = encode_samples(reading(rows[:1], rows[1:]), without)
    assert encoded.lines_with_tabs == 2
    assert "t: 2 of 3 lines contain tabs: a table? give only the text column" in remarks("t", encoded, without)


def test_numbers_of_lines_are_grouped() -> None:
    text = counted_text(["ab"], 8, 1)
    encoded = EncodedSamples(np.ones((12_345, 8), np.uint8), 6_789, 0.0, 1_234)
    assert remarks("t", encoded, text) == [
        "t: 6,789 of 12,345 lines are longer than --seq-len 8 and were cut",
        "t: 1,234 of 12,345 lines contain tabs: a table? give only the text column",
    ]


def test_remarks_are_said_beside_the_scores(samples: Path, text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples.write_text("the cat\tsat\nsat on a mat\n", "utf-8")
    assert main([str(samples), "--reference", str(text_file), "--ngram", "2", "--seq-len", "11", "--json"]) == 0
    printed = capsys.readouterr()
    assert [score["metric"] for score in json.loads(printed.out)] == ["precision", "recall", "cosine"]
    assert printed.err.splitlines() == [
        f"note: {samples}: 1 of 2 lines are longer than --seq-len 11 and were cut",
        f"note: {samples}: 4.5% of the characters do not occur in text.txt: another script?",  # the tab: 1 of 22
        f"note: {samples}: 1 of 2 lines contain tabs: a table? give only the text column",
    ]


@pytest.mark.parametrize("metrics", [["jsd"], ["diversity"], ["jsd", "diversity"]])
def test_empty_lines_are_said_once(
    samples: Path, text_file: Path, capsys: pytest.CaptureFixture[str], metrics: list[str]
) -> None:
    samples.write_text("the cat sat\n\n\nsat on a mat\n", "utf-8")
    assert report([str(samples), "--reference", str(text_file), "--metrics", *metrics]) == 0
    noted = [line for line in capsys.readouterr().err.splitlines() if "empty" in line]
    assert noted == [f"note: {samples}: 2 of 4 lines are empty, and count as samples"]


def test_the_recorded_reference_is_the_default(samples: Path, text_file: Path) -> None:
    options = ReferenceOptions(CorpusOptions(str(text_file), seq_len=18, lines=700), ngram=3, padding=False)
    record(samples, options)
    reference = chosen_reference(CharacterFlags(), samples)
    corpus = open_corpus(options.corpus)
    assert reference.train is not None
    assert reference.held_out is not None
    assert reference.train[:].tolist() == corpus.train[:].tolist()
    assert reference.held_out[:].tolist() == corpus.held_out[:].tolist()
    assert (reference.text.lines, reference.text.seq_len, reference.text.padding) == (700, 18, False)
    assert list(reference.text.counts) == [1, 2, 3]
    for n in (1, 2, 3):
        counted = as_dictionary(reference.text.counts[n], n, corpus.tokenizer.size)
        assert counted == dictionary_counts(corpus.train[:], n, padding=False)


def test_a_record_of_the_file_goes_before_one_of_the_folder(samples: Path, text_file: Path) -> None:
    record(samples, ReferenceOptions(CorpusOptions(str(text_file), lines=30)), samples.with_name(FOLDER_RECORD))
    assert chosen_reference(CharacterFlags(), samples).text.lines == 30
    record(samples, ReferenceOptions(CorpusOptions(str(text_file), lines=40)))
    assert chosen_reference(CharacterFlags(), samples).text.lines == 40


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(
    ("changed", "lines", "ngram", "seq_len", "padding"),
    [
        ({}, 90, 4, 20, True),
        ({"ngram": 2}, 90, 2, 20, True),
        ({"seq_len": 12}, 90, 4, 12, True),
        ({"padding": "out"}, 90, 4, 20, False),
        ({"lines": 50}, 50, 4, 20, True),
        ({"lines": 50, "ngram": 5, "seq_len": 25, "padding": "out"}, 50, 5, 25, False),
    ],
)
def test_flags_override_what_was_recorded(
    samples: Path,
    text_file: Path,
    recorded: bool,
    changed: dict[str, Any],
    lines: int,
    ngram: int,
    seq_len: int,
    padding: bool,
) -> None:
    text = text_file.read_text("utf-8").splitlines()
    if recorded:
        record(samples, ReferenceOptions(CorpusOptions(str(text_file), 20, lines=90, split=False), ngram=4))
        flags: dict[str, Any] = {}
    else:
        flags = {"reference": (str(text_file),), "ngram": 4, "seq_len": 20, "lines": 90}
    reference = chosen_reference(CharacterFlags(**(flags | changed)), samples)
    assert list(reference.text.counts) == list(range(1, ngram + 1))
    for n in (1, ngram):
        assert counts_as_text(reference, n) == expected_counts(text[:lines], n, seq_len, padding)
    assert reference.text.lines == lines
    assert reference.held_out is None


def test_another_reference_can_be_named_despite_a_record(samples: Path, text_file: Path) -> None:
    record(samples, ReferenceOptions(CorpusOptions(str(text_file), seq_len=20), ngram=4))
    other = text_file.with_name("other.txt")
    other.write_text("\n".join(toy_lines(40, 0)), "utf-8")
    reference = chosen_reference(CharacterFlags(reference=(str(other),)), samples)
    assert counts_as_text(reference, 6) == expected_counts(toy_lines(40, 0), 6, 32)  # nothing is left of the record


def test_without_a_record_it_is_the_grammar(samples: Path) -> None:
    reference = chosen_reference(CharacterFlags(lines=300), samples)
    lines = list(islice(chain.from_iterable(grammar.train_lines()), 300))
    assert reference.text.name == "grammar"
    assert counts_as_text(reference, 3) == expected_counts(lines, 3, 32)
    assert reference.held_out is not None  # of its own


def test_changed_data_are_refused_until_named(samples: Path, text_file: Path) -> None:
    record(samples, ReferenceOptions(CorpusOptions(str(text_file), split=False), ngram=3))
    text = text_file.read_text("utf-8")
    assert chosen_reference(CharacterFlags(), samples).text.lines == 2000
    text_file.write_text(text + "one more line\n", "utf-8")
    overrides: list[dict[str, Any]] = [{}, {"ngram": 2, "padding": "out"}, {"seq_len": 20}, {"lines": 50}]
    for changed in overrides:
        with pytest.raises(InputError, match=r"text\.txt: not as it was when the samples were made;.*--reference"):
            chosen_reference(CharacterFlags(**changed), samples)
    assert chosen_reference(CharacterFlags(reference=(str(text_file),)), samples).text.lines == 2001
    # Written anew but the same: what counts is the content.
    text_file.write_text(text, "utf-8")
    assert chosen_reference(CharacterFlags(), samples).text.lines == 2000


def test_a_moved_projects_reference_is_found_by_its_hash(tmp_path: Path, text_file: Path) -> None:
    project = tmp_path / "old"
    (project / "data").mkdir(parents=True)
    (project / "out").mkdir()
    text = text_file.read_bytes()
    (project / "data" / "c.txt").write_bytes(text)
    (project / "out" / "s.txt").write_text("the cat sat\n" * 5, "utf-8")
    record(project / "out" / "s.txt", ReferenceOptions(CorpusOptions(str(project / "data" / "c.txt")), ngram=3))
    before = chosen_reference(CharacterFlags(), project / "out" / "s.txt").text
    moved = project.rename(tmp_path / "new")
    flags, samples = CharacterFlags(), moved / "out" / "s.txt"
    assert chosen_reference(flags, samples).text.sha256 == before.sha256
    assert chosen_options(flags, samples).corpus.data == str(moved / "data" / "c.txt")
    # A copy whose original has changed since: the hash decides, not the path.
    (project / "data").mkdir(parents=True)
    (project / "data" / "c.txt").write_bytes(text + b"more\n")
    assert chosen_reference(flags, samples).text.sha256 == before.sha256
    (moved / "data" / "c.txt").write_bytes(text + b"more\n")
    with pytest.raises(
        InputError, match=r"new/data/c\.txt: not as it was when the samples were made; name it with --ref"
    ):
        chosen_reference(flags, samples)
    shutil.rmtree(moved / "data")
    shutil.rmtree(project)
    with pytest.raises(InputError, match=r"old/data/c\.txt: no such file or folder; name it with --reference"):
        chosen_reference(flags, samples)


def test_a_record_follows_a_moved_project(tmp_path: Path) -> None:
    (tmp_path / "new" / "data").mkdir(parents=True)
    (tmp_path / "new" / "data" / "c.txt").touch()
    made = {"corpus": {"data": "/gone/data/c.txt", "lines": 5}, "ngram": 3}
    assert relocated(made, tmp_path / "new" / "runs")["corpus"] == {"data": f"{tmp_path}/new/data/c.txt", "lines": 5}
    for data in ("/gone/other.txt", "grammar", f"{tmp_path}/new/data", "hub:someone/text:column"):
        kept = {"corpus": {"data": data}}
        assert relocated(kept, tmp_path / "new" / "runs") == kept


@pytest.mark.parametrize("content", ["{", "{}", '{"corpus": {"date": 1}}', "[]"])
def test_a_damaged_record_is_named(samples: Path, content: str) -> None:
    record_path(samples).write_text(content, "utf-8")
    with pytest.raises(InputError, match=r"samples\.txt\.reference\.json: not a reference record .*--reference"):
        chosen_reference(CharacterFlags(), samples)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--lines", "0"], "--lines 0: must be at least 1"),
        (["--seq-len", "0"], "--seq-len 0: must be at least 1"),
        (["--ngram", "33"], "--ngram 33: text.txt in lines of 32 allows n from 1 to"),
        (["--padding", "maybe"], "padding"),
        (["--held-out", "nowhere.txt"], "nowhere.txt: no such file"),
    ],
)
def test_impossible_flags_are_refused(samples: Path, text_file: Path, flags: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main([str(samples), "--reference", str(text_file), *flags])


def test_saved_counts_are_a_reference(samples: Path, text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = text_file.with_name("text.ngrams")
    build = ["build", str(text_file), "--ngram", "4", "--seq-len", "20", "--padding", "out", "--output", str(folder)]
    assert ngrams_main(build) == 0
    flags = ["--seq-len", "20", "--padding", "out"]
    expected = overlap_scores(capsys, [str(samples), "--reference", str(text_file), "--ngram", "4", *flags])
    text = text_file.read_text("utf-8").splitlines()
    text_file.unlink()  # the counts are all that is needed
    assert overlap_scores(capsys, [str(samples), "--reference", str(folder)]) == expected
    for n in (1, 4):
        slow = [text_dictionary(lines, n, 20, padding=False) for lines in (text, text[:50])]
        recalled = sum(count for window, count in slow[0].items() if window in slow[1])
        assert expected[f"recall-{n}"]["value"] == pytest.approx(recalled / slow[0].total(), abs=1e-12)
    # Flags that say what it was counted with are no contradiction, and fewer n can be asked for.
    same = [*flags, "--lines", "2000", "--ngram", "3"]
    found = overlap_scores(capsys, [str(samples), "--reference", str(folder), *same])
    assert values_of(found) == {name: value["value"] for name, value in expected.items() if not name.endswith("-4")}
    # Held-out text may be given; what its lines score is the floor.
    with_floor = overlap_scores(capsys, [str(samples), "--reference", str(folder), "--held-out", str(samples)])
    assert values_of(with_floor, "floor") == values_of(expected)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seq-len", "16"], "--seq-len 16: .* was counted with 32; build it again"),
        (["--padding", "out"], "--padding out: .* was counted with in; build it again"),
        (["--lines", "5"], "--lines 5: .* was counted with 2000; build it again"),
        (["--ngram", "5"], "--ngram 5: text.txt was counted for n from 1 to 4"),
        (["--ngram", "0"], "--ngram 0: must be at least 1"),
        (["--seq-len", "0"], "--seq-len 0: must be at least 1"),
    ],
)
def test_saved_counts_must_be_what_flags_ask_for(
    samples: Path, text_file: Path, flags: list[str], message: str
) -> None:
    folder = text_file.with_name("text.ngrams")
    assert ngrams_main(["build", str(text_file), "--ngram", "4", "--output", str(folder)]) == 0
    with pytest.raises(InputError, match=message):
        main([str(samples), "--reference", str(folder), *flags])


def test_damaged_saved_counts_are_refused(samples: Path, text_file: Path) -> None:
    folder = text_file.with_name("text.ngrams")
    assert ngrams_main(["build", str(text_file), "--ngram", "2", "--output", str(folder)]) == 0
    counts = folder / "2.counts.npy"
    counts.write_bytes(counts.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"text\.ngrams: not usable n-gram counts \(2\.counts\.npy .*build them again"):
        main([str(samples), "--reference", str(folder)])
