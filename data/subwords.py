"""Subwords: sentencepiece models by the unigram and BPE algorithms (Kudo and Richardson 2018, arXiv 1808.06226).

A model is trained on training lines alone, at most 500,000, which are not normalised, by one thread: equal lines in
equal order give equal bytes. In another order BPE gives the same bytes, and unigram a few other subwords. Decoding the
ids of a line of known characters gives the line.
"""

import base64
import hashlib
import heapq
import io
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from data.errors import InputError
from data.line_ids import Ids, Ragged
from data.tokenizers import PADDING, PADDING_ID, UNKNOWN, UNKNOWN_ID, id_type, ragged, rows_of

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

SubwordLevel = Literal["unigram", "bpe"]

MOST_LINES = 500_000
"""Largest number of lines that a model is trained on."""

_OPTIONS: dict[str, Any] = {
    "pad_id": PADDING_ID, "unk_id": UNKNOWN_ID, "bos_id": -1, "eos_id": -1, "unk_surface": UNKNOWN,
    "character_coverage": 1.0, "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
    "add_dummy_prefix": True, "input_sentence_size": 0, "shuffle_input_sentence": False, "num_threads": 1,
    "minloglevel": 2,
}  # fmt: skip
# sentencepiece writes a space as U+2581 and drops lines with U+2585; the others are written forms of ids 0 and 1.
_RESERVED = f"[\u2581\u2585{PADDING}{UNKNOWN}]"
_TOO_LARGE = re.compile(r"Please set it to a value <= (\d+)")
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")


@dataclass(frozen=True)
class SubwordTokenizer:
    """Subwords of a sentencepiece model, given as the bytes of its file."""

    level: SubwordLevel
    model: bytes

    @classmethod
    def train(cls, level: SubwordLevel, lines: Iterable[str], size: int) -> "SubwordTokenizer":
        """Train a model of `size` symbols, padding and unknown included, on the lines that `training_lines` chooses.

        Raises:
            InputError: the lines have too few different subwords for `size`, or too many characters, or no text.
            ModuleNotFoundError: sentencepiece is not installed.
        """
        import sentencepiece

        written = io.BytesIO()
        # No reserved character becomes part of a subword. A list, since sentencepiece hides errors of a generator.
        parts = [part for line in training_lines(lines) for part in re.split(_RESERVED, line)]
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(parts), model_writer=written, vocab_size=size, model_type=level, **_OPTIONS
            )
        except RuntimeError as error:
            raise _explained(error, size) from error
        return cls(level, written.getvalue())

    @classmethod
    def from_text(cls, level: SubwordLevel, model: str) -> "SubwordTokenizer":
        """Return the tokenizer of a model in base64.

        Raises:
            ValueError: the text is no base64, or no model of sentencepiece.
        """
        tokenizer = cls(level, base64.b64decode(model, validate=True))
        try:
            _ = tokenizer._processor
        except RuntimeError as error:
            raise ValueError("not a sentencepiece model") from error
        return tokenizer

    @cached_property
    def _processor(self) -> "SentencePieceProcessor":
        import sentencepiece

        return sentencepiece.SentencePieceProcessor(model_proto=self.model)

    @cached_property
    def name(self) -> str:
        """Name in signatures. The hash covers the pieces and their scores: equal models may differ in their bytes."""
        model, ids = self._processor, range(self.size)
        pieces = ((model.id_to_piece(number), model.get_score(number)) for number in ids)
        listed = "".join(f"{piece}\t{struct.pack('>f', score).hex()}\n" for piece, score in pieces)
        return f"{self.level}-{self.size}@{hashlib.sha256(listed.encode()).hexdigest()[:12]}"

    @cached_property
    def size(self) -> int:
        """Number of symbols V, padding and unknown included."""
        return int(self._processor.get_piece_size())

    def encode(self, lines: Sequence[str]) -> Ragged:
        """Return the ids of lines; neighbouring unknown characters are one id."""
        known = [re.sub(_RESERVED, UNKNOWN, line) for line in lines]
        return ragged(self._processor.encode(known), id_type(self.size))

    def decode(self, ids: Ids) -> list[str]:
        """Return the lines of ids [lines, seq_len], each up to its first padding."""
        return list(self._processor.decode(rows_of(ids)))

    def as_json(self) -> dict[str, Any]:
        """Return level and model, in base64, as a JSON object."""
        return {"level": self.level, "model": base64.b64encode(self.model).decode()}


def training_lines(lines: Iterable[str]) -> list[str]:
    """Return all lines if there are at most MOST_LINES, else the MOST_LINES lines with the smallest SHA-256, in order.

    The choice depends on the lines alone, not on their order, and lines from anywhere in the text have the same chance.
    Copies of a line have the same hash, so nearly always all of them are chosen, or none. MOST_LINES bounds the memory.
    """
    chosen = heapq.nsmallest(
        MOST_LINES, enumerate(lines), key=lambda numbered: hashlib.sha256(numbered[1].encode()).digest()
    )
    return [line for _, line in sorted(chosen)]


def _explained(error: RuntimeError, size: int) -> InputError:
    """Return an error that names the flag and its largest or smallest value for the text."""
    message = str(error)
    if match := _TOO_LARGE.search(message):
        return InputError(f"--vocabulary-size {size}: the text has at most {int(match[1]):,} subwords; lower it")
    if match := _TOO_SMALL.search(message):
        return InputError(f"--vocabulary-size {size}: the text's characters alone need {int(match[1]):,}; raise it")
    if "!sentences_.empty()" in message:
        return InputError("no text to find subwords in; give lines that are not empty")
    return InputError(f"sentencepiece: {message}")
