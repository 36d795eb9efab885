import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.tokenizers import CODE_POINTS, PADDING, UNKNOWN, CharTokenizer, WordTokenizer, read_tokenizer
from data.words import Splitting, WordRule
from tests.helpers.text import coco_lines

ABC = CharTokenizer("abc")


def counts_of(text: str) -> np.ndarray:
    counts = np.zeros(CODE_POINTS, np.int64)
    for character, count in Counter(text).items():
        counts[ord(character)] = count
    return counts


def test_ids_are_padding_unknown_then_characters() -> None:
    assert ABC.encode(["abc", "cx", ""]).padded(4).tolist() == [[2, 3, 4, 0], [4, 1, 0, 0], [0, 0, 0, 0]]


def test_long_lines_are_cut() -> None:
    assert ABC.encode(["abcabc"]).padded(4).tolist() == [[2, 3, 4, 2]]


def test_decode_strips_padding_at_the_end_only() -> None:
    ids = np.array([[0, 2, 0, 3, 0, 0], [1, 2, 1, 0, 0, 0]], np.uint8)
    assert ABC.decode(ids) == [f"{PADDING}a{PADDING}b", f"{UNKNOWN}a{UNKNOWN}"]


@given(st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1))
def test_any_ids_survive_writing_and_reading(rows: list[list[int]]) -> None:
    ids = np.array(rows, np.uint8)
    assert (ABC.encode(ABC.decode(ids)).padded(6) == ids).all()


def test_most_frequent_characters_ties_by_code_point() -> None:
    assert CharTokenizer.from_counts(counts_of("bbaacdddd€€€"), 4).characters == "d€ab"


def test_marks_and_line_ends_are_never_characters() -> None:
    text = f"{PADDING * 9}{UNKNOWN * 9}\n\n\n\r\r\ufeff\ufeffa"
    assert CharTokenizer.from_counts(counts_of(text), 10).characters == "a"


@pytest.mark.parametrize(("characters", "dtype"), [(254, np.uint8), (255, np.uint16), (2048, np.uint16)])
def test_ids_take_the_smallest_type(characters: int, dtype: type) -> None:
    tokenizer = CharTokenizer("".join(map(chr, range(0x4E00, 0x4E00 + characters))))
    ids = tokenizer.encode([tokenizer.characters]).padded(characters)
    assert ids.dtype == dtype
    assert ids.tolist() == [list(range(2, characters + 2))]


def test_characters_outside_the_basic_plane() -> None:
    tokenizer = CharTokenizer("😀a")
    assert tokenizer.encode(["a😀b"]).padded(4).tolist() == [[3, 2, 1, 0]]
    assert tokenizer.decode(tokenizer.encode(["a😀"]).padded(4)) == ["a😀"]


def test_characters_are_saved_as_before_there_were_levels() -> None:
    assert ABC.as_json() == {"characters": "abc"}
    assert read_tokenizer({"characters": "abc", "model": "wgan-gp", "seq_len": 12}) == ABC  # an old export's config
    assert ABC.name == "char"


PUNCTUATION = WordRule("punctuation")


def words_of(lines: list[str], most: int, rule: WordRule = PUNCTUATION) -> WordTokenizer:
    """The tokenizer of the most frequent words, counted one by one."""
    counts = Counter(word for line in lines for word in rule.splitter()(line)[1])
    return WordTokenizer.from_counts(list(counts), np.array(list(counts.values())), most, rule)


def test_words_are_ranked_by_count_then_by_code_points() -> None:
    lines = ["b a c", "a b", "d e", "Z a b"]
    assert words_of(lines, 4).words == ("a", "b", "Z", "c")
    assert words_of(lines[::-1], 4).words == ("a", "b", "Z", "c")
    order_of_occurrence = [word for word, _ in Counter(" ".join(lines).split()).most_common(4)]
    assert order_of_occurrence != ["a", "b", "Z", "c"]  # what ties would give without the second key


def test_words_encode_and_decode() -> None:
    tokenizer = WordTokenizer(("a", "cat", ".", "do", "n't", "it", "'s"), PUNCTUATION)
    encoded = tokenizer.encode(["a cat.", "", "don't", "it's a dog ."])
    assert encoded.row.tolist() == [2, 3, 4, 5, 6, 7, 8, 2, 1, 4]
    assert encoded.lengths.tolist() == [3, 0, 2, 5]
    assert encoded.padded(4).tolist() == [[2, 3, 4, 0], [0, 0, 0, 0], [5, 6, 0, 0], [7, 8, 2, 1]]
    assert tokenizer.decode(encoded.padded(5)) == ["a cat.", "", "don't", f"it's a {UNKNOWN}."]


def test_nothing_is_decoded_after_the_first_padding() -> None:
    tokenizer = WordTokenizer(("a", "b"), PUNCTUATION)
    assert tokenizer.decode(np.array([[2, 0, 3, 3], [0, 2, 2, 2], [2, 3, 2, 3]], np.uint8)) == ["a", "", "a b a b"]


def test_marks_are_never_words() -> None:
    assert words_of([f"a {UNKNOWN} {UNKNOWN}", f"{PADDING} {PADDING} b"], 10).words == ("a", "b")


@pytest.mark.parametrize(
    ("words", "between", "line"),
    [("punctuation", "x , y . do n't", "x, y. don't"), ("whitespace", "x , y . do n't", "x , y . do n't"),
     ("characters", "x , y", "x,y")],
)  # fmt: skip
def test_words_are_joined_by_the_rule_that_split_them(words: Splitting, between: str, line: str) -> None:
    tokenizer = words_of([between], 99, WordRule(words))
    ids = tokenizer.encode([between]).padded(20)
    assert tokenizer.decode(ids) == [line]
    assert (tokenizer.encode([line]).padded(20) == ids).all()


def test_lower_case_is_part_of_encoding() -> None:
    tokenizer = words_of(["The cat"], 9, WordRule("punctuation", lower_case=True))
    assert tokenizer.encode(["THE Cat"]).row.tolist() == tokenizer.encode(["the cat"]).row.tolist() == [3, 2]
    assert words_of(["The cat"], 9).encode(["THE cat"]).row.tolist() == [1, 3]


def test_a_word_tokenizer_survives_saving_and_its_name_names_its_words() -> None:
    tokenizer = words_of(["déjà vu, it's déjà"], 9, WordRule("whitespace", lower_case=True))
    again = read_tokenizer(json.loads(json.dumps(tokenizer.as_json())))
    assert again == tokenizer
    digest = hashlib.sha256("\n".join(tokenizer.words).encode()).hexdigest()[:12]
    assert again.name == tokenizer.name == f"word-{len(tokenizer.words)}@{digest}"
    assert words_of(["a b b"], 9).name != words_of(["a a b"], 9).name  # the same words, numbered differently
    with pytest.raises(ValueError, match="'syllable' is no level"):
        read_tokenizer({"level": "syllable"})


@pytest.mark.parametrize("words", ["punctuation", "whitespace", "characters"])
def test_decoded_captions_encode_to_the_same_ids(words: Splitting) -> None:
    lines = coco_lines(10_000)
    tokenizer = words_of(lines, 1 << 20, WordRule(words))
    ids = tokenizer.encode(lines).padded(250)
    decoded = tokenizer.decode(ids)
    assert (tokenizer.encode(decoded).padded(250) == ids).all()
    if words == "punctuation":
        # The published detokeniser, written out.
        slow = [" ".join(tokenizer.words[number - 2] for number in line if number) for line in ids[:1000].tolist()]
        for mark in (*".,!?;:'’", "n't", "N'T"):
            slow = [line.replace(f" {mark}", mark) for line in slow]
        assert decoded[:1000] == slow


def test_words_that_join_to_a_contraction_come_back_as_that() -> None:
    tokenizer = WordTokenizer(("in", "'tis", "i", "n't", "is"), PUNCTUATION)
    ids = tokenizer.encode(["in 'tis"]).padded(3)
    assert ids.tolist() == [[2, 3, 0]]
    assert tokenizer.encode(tokenizer.decode(ids)).padded(3).tolist() == [[4, 5, 6]]


def test_more_than_65536_symbols_take_four_bytes() -> None:
    few, many = (WordTokenizer(tuple(map(str, range(size - 2))), PUNCTUATION) for size in (1 << 16, (1 << 16) + 1))
    assert few.encode(["65533"]).row.tolist() == [(1 << 16) - 1]
    assert many.encode(["65534"]).row.tolist() == [1 << 16]  # 0 in two bytes
