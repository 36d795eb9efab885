import base64
import hashlib
import json
from io import BytesIO
from struct import pack
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from data import subwords as subwords_module
from data.errors import InputError
from data.subwords import SubwordLevel, SubwordTokenizer, training_lines
from data.tokenizers import PADDING, UNKNOWN, read_tokenizer
from tests.helpers.text import coco_lines, short_lines

sentencepiece = pytest.importorskip("sentencepiece")

LEVELS = get_args(SubwordLevel)
LINES = short_lines()[:300]
TRAINED = {level: SubwordTokenizer.train(level, LINES, 40) for level in LEVELS}


def tokens(tokenizer: SubwordTokenizer, line: str) -> list[int]:
    return [int(number) for number in tokenizer.encode([line]).row]


@pytest.mark.parametrize("level", LEVELS)
def test_all_captions_come_back(level: SubwordLevel) -> None:
    lines = coco_lines(10_000)
    tokenizer = SubwordTokenizer.train(level, lines, 1000)
    assert tokenizer.size == 1000
    encoded = tokenizer.encode(lines)
    assert 14 < encoded.lengths.mean() < 15
    assert tokenizer.decode(encoded.padded(int(encoded.lengths.max()))) == lines
    assert 1 not in encoded.row


def plain_model(level: SubwordLevel, lines: list[str]) -> bytes:
    """Return the model of 40 subwords that sentencepiece trains on all of these lines."""
    written = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=written, vocab_size=40, model_type=level, pad_id=0, unk_id=1,
        bos_id=-1, eos_id=-1, unk_surface=UNKNOWN, character_coverage=1.0, normalization_rule_name="identity",
        remove_extra_whitespaces=False, add_dummy_prefix=True, input_sentence_size=0, shuffle_input_sentence=False,
        num_threads=1, minloglevel=2,
    )  # fmt: skip
    return written.getvalue()


@pytest.mark.parametrize("level", LEVELS)
def test_equal_lines_give_equal_bytes(level: SubwordLevel) -> None:
    assert SubwordTokenizer.train(level, iter(LINES), 40) == TRAINED[level]
    assert TRAINED[level].model == plain_model(level, LINES)
    assert SubwordTokenizer.train(level, LINES[1:], 40).name != TRAINED[level].name
    in_other_order = SubwordTokenizer.train(level, LINES[::-1], 40)
    assert (in_other_order == TRAINED[level]) == (level == "bpe")


@pytest.mark.parametrize("level", LEVELS)
def test_among_more_lines_than_the_limit_hashes_choose(level: SubwordLevel, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = short_lines()[:600]
    by_hash = sorted(lines, key=lambda line: hashlib.sha256(line.encode()).hexdigest())
    chosen = [line for line in lines if line in by_hash[:300]]
    monkeypatch.setattr(subwords_module, "MOST_LINES", 300)
    found = SubwordTokenizer.train(level, iter(lines), 40).model
    assert found == plain_model(level, chosen)
    assert SubwordTokenizer.train(level, lines[::-1], 40).model == plain_model(level, chosen[::-1])
    for wrong in (lines, lines[:300], by_hash[300:]):
        assert found != plain_model(level, wrong)


def test_lines_are_chosen_from_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subwords_module, "MOST_LINES", 1000)
    lines = short_lines()
    place = {line: number for number, line in enumerate(lines)}
    chosen = training_lines(iter(lines * 2))
    assert sorted(chosen) == sorted(training_lines(lines[::-1] * 2))
    assert all(chosen.count(line) == 2 for line in chosen)  # copies
    per_tenth = np.bincount([place[line] // 200 for line in set(chosen)], minlength=10)
    assert chisquare(per_tenth).pvalue > 0.01


@pytest.mark.parametrize("level", LEVELS)
def test_the_name_hashes_pieces_and_scores(level: SubwordLevel) -> None:
    tokenizer = TRAINED[level]
    model = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    pieces = [f"{model.id_to_piece(i)}\t{pack('>f', model.get_score(i)).hex()}\n" for i in range(40)]
    assert [piece.partition("\t")[0] for piece in pieces[:2]] == ["<pad>", "<unk>"]
    assert tokenizer.name == f"{level}-40@{hashlib.sha256(''.join(pieces).encode()).hexdigest()[:12]}"


def test_levels_are_different_models() -> None:
    assert tokens(TRAINED["unigram"], "the cat sat") != tokens(TRAINED["bpe"], "the cat sat")


@pytest.mark.parametrize("level", LEVELS)
@given(line=st.text("the cadogsmn01 \u00e9", max_size=30))
def test_any_line_of_known_characters_comes_back(level: SubwordLevel, line: str) -> None:
    """Leading, trailing and repeated spaces too."""
    encoded = TRAINED[level].encode([line])
    assert TRAINED[level].decode(encoded.padded(40)) == [line]
    assert 0 not in encoded.row


@pytest.mark.parametrize("level", LEVELS)
def test_reserved_and_new_characters_are_unknown(level: SubwordLevel) -> None:
    tokenizer = TRAINED[level]
    for mark in ("\u2581", "\u2585", PADDING, UNKNOWN, "\u6f22", "\u2047"):
        assert 1 in tokens(tokenizer, f"a{mark}t")
        assert tokenizer.decode(tokenizer.encode([f"a{mark}t"]).padded(9)) == [f"a{UNKNOWN}t"]
    # Without the replacement the mark would come back as a space.
    plain = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    assert plain.decode(plain.encode("a\u2581t")) == "a t"


@pytest.mark.parametrize("level", LEVELS)
def test_reserved_characters_of_training_lines_are_in_no_subword(level: SubwordLevel) -> None:
    marks = ("\u2581", "\u2585", PADDING, UNKNOWN)
    tokenizer = SubwordTokenizer.train(level, [f"{line} {mark}wxy" for line in LINES for mark in marks], 45)
    model = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    pieces = [model.id_to_piece(number).removeprefix("\u2581") for number in range(2, 45)]
    assert not [piece for piece in pieces for mark in marks[1:] if mark in piece]
    assert 1 not in tokens(tokenizer, "wxy")  # the rest of these lines was trained on


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_is_decoded_after_the_first_padding(level: SubwordLevel) -> None:
    tokenizer = TRAINED[level]
    (cat,), (dog,) = (tokenizer.encode([word]).padded(4) for word in ("cat", "dog"))
    joined = np.array([[*cat[cat > 0], 0, *dog[dog > 0]]])
    assert tokenizer.decode(joined) == ["cat"]
    assert tokenizer.decode(np.zeros((2, 3), np.uint8)) == ["", ""]
    assert tokenizer.decode(np.array([[1, 1, 0]])) == [UNKNOWN * 2]


@pytest.mark.parametrize("level", LEVELS)
def test_a_tokenizer_survives_saving(level: SubwordLevel) -> None:
    again = read_tokenizer(json.loads(json.dumps(TRAINED[level].as_json())))
    assert again == TRAINED[level]
    assert again.encode(LINES).row.tolist() == TRAINED[level].encode(LINES).row.tolist()
    for damaged in ("?", base64.b64encode(b"no model").decode()):
        with pytest.raises(ValueError, match=r"base64|not a sentencepiece model"):
            read_tokenizer({"level": level, "model": damaged})


@pytest.mark.parametrize("level", LEVELS)
def test_a_vocabulary_too_large_or_small_names_the_flag_and_the_limit(level: SubwordLevel) -> None:
    with pytest.raises(InputError, match=r"^--vocabulary-size 9000: the text has at most ([\d,]+) subwords") as error:
        SubwordTokenizer.train(level, LINES, 9000)
    largest = int(str(error.value).partition("at most ")[2].partition(" ")[0].replace(",", ""))
    assert SubwordTokenizer.train(level, LINES, largest).size == largest
    characters = {character for line in LINES for character in line} | {" "}
    with pytest.raises(InputError, match=rf"^--vocabulary-size 9: .* need {len(characters) + 2}; raise it$"):
        SubwordTokenizer.train(level, LINES, 9)


def test_lines_without_text_are_refused() -> None:
    with pytest.raises(InputError, match="no text to find subwords in"):
        SubwordTokenizer.train("unigram", ["", UNKNOWN], 60)


def test_an_error_while_reading_is_raised_as_it_is() -> None:
    def lines() -> list[str]:
        raise InputError("bad.txt:7: not UTF-8")

    with pytest.raises(InputError, match=r"^bad\.txt:7: not UTF-8$"):
        SubwordTokenizer.train("bpe", (line for _ in range(2) for line in lines()), 60)
