from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from data.cache import write_manifest
from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from eval.ngrams import main
from eval.text import reference_counts as ngrams_module
from eval.text.jsd import jsd
from eval.text.reference_counts import ReferenceCounts, count_reference, load_counts, merge_counts, save_counts
from tests.helpers.oracles import dictionary_counts

LINES = ["a cat", "the dog sat", "a cat sat on the mat", "ünder", "", "a\u2400b", "dogs & cats", "the mat"] * 3


def counted(
    path: Path, lines: Sequence[str], most: int = 4, padding: bool = True, limit: int = 2048, seq_len: int = 10
) -> ReferenceCounts:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    corpus = open_corpus(CorpusOptions(str(path), seq_len=seq_len, vocabulary_size=limit, split=False))
    return count_reference(corpus, most, padding, limit)


def assert_same_counts(ours: ReferenceCounts, theirs: ReferenceCounts) -> None:
    assert ours.tokenizer == theirs.tokenizer
    assert (ours.lines, ours.seq_len, ours.padding) == (theirs.lines, theirs.seq_len, theirs.padding)
    assert ours.counts.keys() == theirs.counts.keys()
    for n in ours.counts:
        assert (ours.counts[n].keys == theirs.counts[n].keys).all()
        assert (ours.counts[n].counts == theirs.counts[n].counts).all()


def test_counts_are_cached_checked_and_rebuilt(
    text_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = open_corpus(CorpusOptions(str(text_file)))
    expected = Counter(dictionary_counts(corpus.train[:], 3).values())

    def count() -> ReferenceCounts:
        return count_reference(corpus, 3, padding=True, vocabulary_limit=2048)

    assert Counter(count().counts[3].counts.tolist()) == expected
    with monkeypatch.context() as patch:
        patch.setattr(ngrams_module, "count_up_to", None)  # counting again would fail
        assert isinstance(count().counts[3].keys, np.memmap)
        # Six is the usual length, so up to six one entry serves all.
        assert list(count_reference(corpus, 6, padding=True, vocabulary_limit=2048).counts) == [1, 2, 3, 4, 5, 6]
    (array,) = cache.glob("ngrams/*/3.counts.npy")
    array.write_bytes(array.read_bytes()[:-8])
    assert Counter(count().counts[3].counts.tolist()) == expected
    assert "damaged cache entry (3.counts.npy is not as it was written); rebuilding it" in capsys.readouterr().err


def test_a_cache_of_another_version_is_rebuilt_and_said(
    text_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = open_corpus(CorpusOptions(str(text_file)))
    with monkeypatch.context() as patch:
        patch.setattr(ngrams_module, "_FORMAT", 0)
        first = count_reference(corpus, 2, padding=True, vocabulary_limit=2048)
    again = count_reference(corpus, 2, padding=True, vocabulary_limit=2048)
    assert_same_counts(first, again)
    assert "(written by another version); rebuilding it" in capsys.readouterr().err
    count_reference(corpus, 2, padding=True, vocabulary_limit=2048)
    assert capsys.readouterr().err == ""


def test_padding_rules_do_not_share_a_cache_entry(text_file: Path) -> None:
    corpus = open_corpus(CorpusOptions(str(text_file)))
    assert count_reference(corpus, 1, True, 2048).counts[1].total == corpus.train[:].size
    assert count_reference(corpus, 1, False, 2048).counts[1].total == int((corpus.train[:] != 0).sum())


@pytest.mark.parametrize(
    ("ngram", "message"), [(0, "--ngram 0"), (33, "allows n from 1 to"), (8, "shorter than n = 8")]
)
def test_impossible_lengths_are_refused(tmp_path: Path, ngram: int, message: str) -> None:
    path = tmp_path / "short.txt"
    path.write_text("abc\nabcdefg\n", "utf-8")
    corpus = open_corpus(CorpusOptions(str(path), split=False))
    with pytest.raises(InputError, match=message):
        count_reference(corpus, ngram, True, 2048)


@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("cuts", [[7], [2, 3, 20], [1, 2]])
def test_parts_join_to_the_whole(tmp_path: Path, cuts: list[int], padding: bool) -> None:
    whole = counted(tmp_path / "whole.txt", LINES, padding=padding)
    parts = []
    for number, lines in enumerate(np.split(np.array(LINES, object), cuts)):
        part = counted(tmp_path / f"{number}.txt", lines.tolist(), padding=padding)
        save_counts(part, tmp_path / f"{number}.ngrams")
        parts.append(load_counts(tmp_path / f"{number}.ngrams"))
        assert_same_counts(part, parts[-1])
    assert parts[0].tokenizer != parts[-1].tokenizer
    joint = merge_counts(parts[::-1], "joint", 2048)
    assert_same_counts(joint, whole)
    # Its hash is that of the counts: the same however the text was cut.
    assert joint.sha256 == merge_counts([whole], "whole", 2048).sha256
    assert joint.sha256 != merge_counts(parts[1:], "less", 2048).sha256


def test_a_vocabulary_too_small_for_all_drops_the_rarest_of_the_whole(tmp_path: Path) -> None:
    whole = counted(tmp_path / "whole.txt", LINES, limit=8)
    parts = [counted(tmp_path / f"{part}.txt", LINES[part::2]) for part in (0, 1)]
    assert_same_counts(merge_counts(parts, "joint", 8), whole)
    assert whole.tokenizer.size == 10


def test_parts_that_cannot_be_joined_exactly_are_refused(tmp_path: Path) -> None:
    first = counted(tmp_path / "a.txt", LINES)
    with pytest.raises(InputError, match=r"b\.txt: counted with padding False, a\.txt with True"):
        merge_counts([first, counted(tmp_path / "b.txt", LINES, padding=False)], "joint", 2048)
    with pytest.raises(InputError, match=r"b\.txt: counted up to another n than a\.txt"):
        merge_counts([first, counted(tmp_path / "b.txt", LINES, most=3)], "joint", 2048)
    with pytest.raises(InputError, match=r"b\.txt: more characters than the vocabulary was allowed"):
        merge_counts([first, counted(tmp_path / "b.txt", LINES, limit=5)], "joint", 2048)
    # Each part has at most 2^8 symbols, so that 16 fit into two integers of 64 bits; all have more, and 16 do not.
    parts = [
        counted(tmp_path / f"{start}.txt", [chr(start + i) * 16 for i in range(250)], most=16, seq_len=16)
        for start in (500, 900)
    ]
    with pytest.raises(
        InputError, match=r"500\.txt: counted up to n = 16, .* 502 symbols, .* at most 14; .* --ngram 14"
    ):
        merge_counts(parts, "joint", 2048)


def test_saved_counts_are_checked_and_never_overwritten(tmp_path: Path) -> None:
    text = counted(tmp_path / "a.txt", LINES)
    save_counts(text, tmp_path / "a.ngrams")
    with pytest.raises(InputError, match=r"a\.ngrams: exists already"):
        save_counts(text, tmp_path / "a.ngrams")
    keys = tmp_path / "a.ngrams" / "2.keys.npy"
    keys.write_bytes(keys.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=r"a\.ngrams: not usable n-gram counts \(2\.keys\.npy is not as it was written"
    ):
        load_counts(tmp_path / "a.ngrams")
    with pytest.raises(InputError, match="nowhere: not usable n-gram counts"):
        load_counts(tmp_path / "nowhere")


def test_asking_for_longer_ngrams_than_were_counted_is_refused(tmp_path: Path) -> None:
    text = counted(tmp_path / "a.txt", LINES)
    assert list(text.up_to(2).counts) == [1, 2]
    with pytest.raises(InputError, match=r"--ngram 5: a\.txt was counted for n from 1 to 4"):
        text.up_to(5)


def test_the_commands_count_and_join(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for file, lines in zip(files, (LINES[:11], LINES[11:]), strict=True):
        file.write_text("\n".join(lines), "utf-8")
        flags = [str(file), "--ngram", "4", "--seq-len", "10", "--output", str(file.with_suffix(".ngrams"))]
        assert main(["build", *flags]) == 0
    parts = [str(file.with_suffix(".ngrams")) for file in files]
    assert main(["merge", *parts, "--output", str(tmp_path / "joint.ngrams")]) == 0
    joint, whole = load_counts(tmp_path / "joint.ngrams"), counted(tmp_path / "whole.txt", LINES)
    assert joint.name == "joint"
    assert jsd(joint.counts[4], whole.counts[4]) == pytest.approx(0.0, abs=1e-15)
    printed = capsys.readouterr().out
    assert f"joint: 24 lines, {whole.tokenizer.size - 2} characters" in printed
    rows = [line.split() for line in printed.splitlines()]
    assert ["4", f"{whole.counts[4].keys.size:,}", f"{24 * 7:,}"] in rows
    with pytest.raises(InputError, match=r"a\.ngrams: given twice; leave one out"):
        main(["merge", *parts, parts[0], "--output", str(tmp_path / "twice.ngrams")])
    with pytest.raises(InputError, match="merge: no parts"):
        main(["merge", "--output", str(tmp_path / "none.ngrams")])


def test_a_description_that_lies_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    write_manifest(tmp_path / "odd", "ngrams.json", {"format": "other"})
    with pytest.raises(InputError, match="written by another version"):
        load_counts(tmp_path / "odd")
