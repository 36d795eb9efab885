"""Exact scores of generators with a density, which line models are.

The loss of held-out lines needs no samples. On lines of a synthetic oracle (`data.oracle`) both densities are known, so
that divergences in both directions are means over lines, with standard errors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from data.corpus import Corpus
from data.errors import InputError
from data.line_ids import Ids
from data.oracle import Oracle
from data.oracle_lines import SEQ_LEN
from data.sources import is_oracle, open_oracle
from eval.core.intervals import POSITIVE, estimate_ratio, student_reach
from eval.core.sampling import fixed_sample
from eval.core.score import Estimate, Score, Signature
from eval.text.metrics import EXACT
from textgan.models.lines import LineModel, in_line

Floats = NDArray[np.float64]

_MOST_LINES = 2000
_BATCH = 64
_PREFIXES = (1, 2, 5, 10)  # numbers of symbols
_FIRST_WORD = 2  # id of an oracle's symbol 0, after padding and unknown


@dataclass(frozen=True)
class HeldOut:
    """Held-out lines to score line models by.

    Attributes:
        ids: the lines [N, L].
        characters: characters of each decoded line [N], and 1 for the line's end.
        title: name of the lines.
        settings: their part of a signature.
        oracle: the oracle that drew the lines; None for other text.
    """

    ids: Ids
    characters: Floats
    title: str
    settings: Mapping[str, str | int]
    oracle: Oracle | None = None

    @cached_property
    def oracle_log_probs(self) -> Floats:
        """Log-probabilities [N, L] of the lines' symbols under the oracle that drew them."""
        assert self.oracle is not None
        return oracle_log_probs(self.oracle, self.ids)


class LogProbs(NamedTuple):
    """Log-probabilities [N, L] of the symbols of the same lines under an oracle and under a model, in nats."""

    oracle: Floats
    model: Floats


def held_out_lines(corpus: Corpus, data: str) -> HeldOut | None:
    """Return at most 2,000 held-out lines of a corpus, the same ones every time; None if the corpus has none.

    Lines with padding or unknown symbols are left out if no training line has them: a line model gives these symbols
    the probability 0.

    Args:
        corpus: the corpus.
        data: the `--data` value that the corpus was read from.

    Raises:
        InputError: the lines of an oracle are padded.
    """
    oracle = open_oracle(data) if is_oracle(data) and corpus.tokenizer.level == "word" else None
    if oracle is not None and corpus.seq_len != SEQ_LEN:
        raise InputError(f"--seq-len {corpus.seq_len}: lines of {corpus.name} have {SEQ_LEN} symbols; give that number")
    count = len(corpus.held_out)
    ids = corpus.held_out[fixed_sample(count, min(count, _MOST_LINES), seed=1)]
    ids = ids[~np.isin(ids, corpus.absent).any(axis=1)]
    if not len(ids):
        return None
    characters = np.array([len(line) + 1 for line in corpus.tokenizer.decode(ids)], np.float64)
    settings: dict[str, str | int] = {
        "sym": corpus.tokenizer.name,
        "len": corpus.seq_len,
        "ref": f"{corpus.name}@{corpus.sha256[:12]}",
        "lines": len(ids),
    }
    return HeldOut(ids, characters, f"{corpus.name} ({len(ids):,} held-out lines)", settings, oracle)


def exact_scores(model: LineModel, held_out: HeldOut, drawn: Ids, temperature: float = 1.0) -> list[Score]:
    """Return the exact scores of a line model: the loss of held-out lines, or divergences from the oracle of the lines.

    Args:
        model: the model.
        held_out: the held-out lines.
        drawn: lines [S, L] that the model has drawn at this temperature; divergences from an oracle need them.
        temperature: divides the logits; a property of the scored distribution, so no part of the signature.
    """
    of_held_out = log_probs(model, held_out.ids, temperature)
    if held_out.oracle is None:
        return [loss(of_held_out, held_out)]
    of_drawn = LogProbs(oracle_log_probs(held_out.oracle, drawn), log_probs(model, drawn, temperature))
    return divergences(LogProbs(held_out.oracle_log_probs, of_held_out), of_drawn, held_out)


@torch.no_grad()
def log_probs(model: LineModel, ids: Ids, temperature: float = 1.0) -> Floats:
    """Return the log-probabilities [N, L] of the symbols of lines under a model in evaluation mode, in nats."""
    training, device = model.training, model.embedding.weight.device
    model.eval()
    batches = [
        model.log_probs(torch.from_numpy(ids[start : start + _BATCH].astype(np.int64)).to(device), temperature)
        for start in range(0, len(ids), _BATCH)
    ]
    model.train(training)
    symbols: Floats = torch.cat(batches).double().cpu().numpy()
    return symbols


def oracle_log_probs(oracle: Oracle, ids: Ids) -> Floats:
    """Return the log-probabilities [N, L] of the symbols of an oracle's lines under the oracle, in nats."""
    assert ids.min() >= _FIRST_WORD, "an oracle's lines have neither padding nor unknown symbols"
    return oracle.log_probs(ids.astype(np.int64) - _FIRST_WORD)


def loss(model: Floats, held_out: HeldOut) -> Score:
    """Return the mean of -log g(x) per line, per symbol and per character of held-out lines, in nats.

    The symbols of a line count its end, unless it has L symbols; the characters always count it. Of subwords, the loss
    per character is an upper bound: the probability of a text is a sum over its segmentations, of which the tokenizer's
    is one (Kudo 2018, arXiv 1804.10959).

    Args:
        model: log-probabilities [N, L] of the lines' symbols under the model.
        held_out: the lines.
    """
    model = model.sum(axis=1)
    symbols = in_line(torch.from_numpy(held_out.ids.astype(np.int64))).sum(dim=1).double().numpy()
    sizes = {"nll-line": np.ones_like(model), "nll-token": symbols, "nll-char": held_out.characters}
    values = {name: estimate_ratio(-model, size, POSITIVE) for name, size in sizes.items()}
    return _score("nll", values, "nats", held_out, {})


def divergences(of_held_out: LogProbs, of_drawn: LogProbs, held_out: HeldOut) -> list[Score]:
    """Return divergences of an oracle o and a model g over lines of L symbols.

    In nats per symbol: nll-oracle is E_g[-log o] / L (Yu et al. 2017, arXiv 1609.05473), nll-test E_o[-log g] / L,
    kl-oracle-model KL(o || g) / L, and kl-model-oracle KL(g || o) / L. In bits: sequence-jsd is the JSD of both
    distributions of whole lines, which soon comes near 1, and sequence-jsd-t the JSD of their first t symbols. The
    floors are the values of g = o.

    Args:
        of_held_out: log-probabilities [N, L] of lines of the oracle.
        of_drawn: log-probabilities [S, L] of lines of the model.
        held_out: the lines of the oracle.
    """
    seq_len, oracle = held_out.ids.shape[1], held_out.oracle
    assert oracle is not None
    entropy = -float(of_held_out.oracle.sum(axis=1).mean()) / seq_len

    def per_symbol(symbols: Floats, floor: float) -> Estimate:
        lines = symbols.sum(axis=1)
        return replace(estimate_ratio(lines, np.full_like(lines, seq_len)), floor=floor)

    values = {
        "nll-oracle": per_symbol(-of_drawn.oracle, entropy),
        "nll-test": per_symbol(-of_held_out.model, entropy),
        "kl-oracle-model": per_symbol(of_held_out.oracle - of_held_out.model, 0.0),
        "kl-model-oracle": per_symbol(of_drawn.model - of_drawn.oracle, 0.0),
    }
    settings: dict[str, str | int] = {"oracle": oracle.sha256[:12], "samples": len(of_drawn.model)}
    lengths = {f"-{length}": length for length in _PREFIXES if length < seq_len}
    jsd = {
        f"sequence-jsd{name}": _jsd(*(_prefixes(each, length) for each in (of_held_out, of_drawn)))
        for name, length in (lengths | {"": seq_len}).items()
    }
    return [
        _score("oracle", values, "nats per symbol", held_out, settings),
        _score("sequence-jsd", jsd, "bits", held_out, settings),
    ]


def _prefixes(symbols: LogProbs, length: int) -> LogProbs:
    """Return the log-probabilities [N] of the first symbols of lines."""
    return LogProbs(*(each[:, :length].sum(axis=1) for each in symbols))


def _jsd(of_held_out: LogProbs, of_drawn: LogProbs) -> Estimate:
    """Return E_o[log2 o / m] / 2 + E_g[log2 g / m] / 2 with m = (o + g) / 2, of log-probabilities [N]."""
    own = (of_held_out.oracle, of_held_out), (of_drawn.model, of_drawn)
    terms = [1 + (log_probs - np.logaddexp(*both)) / math.log(2) for log_probs, both in own]
    value = float(sum(term.mean() for term in terms)) / 2
    if (fewest := min(term.size for term in terms)) < 2:
        return Estimate(value, floor=0.0)
    reach = student_reach(math.sqrt(sum(float(term.var(ddof=1)) / term.size for term in terms)) / 2, fewest)
    return Estimate(value, value - reach, value + reach, floor=0.0)


def _score(
    metric: str, values: Mapping[str, Estimate], unit: str, held_out: HeldOut, settings: Mapping[str, str | int]
) -> Score:
    signature = Signature(EXACT, {**held_out.settings, **settings})
    return Score(metric, values, unit, "lower", len(held_out.ids), held_out.title, signature)
