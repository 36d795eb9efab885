import hashlib
import re
from collections import Counter
from itertools import chain, islice

import numpy as np
import pytest

from data import grammar
from data.grammar import generate, parse_rules, train_lines

# A grammar whose sentences and their probabilities can be written out by hand.
TINY = """
line = 3: <who> <did> . | 1: " <who> "
who ~ ann bob
did = 1: ran | 1: saw <who>
"""
# who: ann 1 / (1 + 1/2) = 2/3, bob 1/3.
TINY_PROBABILITIES = {
    "Ann ran .": 3 / 4 * 2 / 3 / 2,
    "Bob ran .": 3 / 4 * 1 / 3 / 2,
    "Ann saw ann .": 3 / 4 * 2 / 3 / 2 * 2 / 3,
    "Ann saw bob .": 3 / 4 * 2 / 3 / 2 * 1 / 3,
    "Bob saw ann .": 3 / 4 * 1 / 3 / 2 * 2 / 3,
    "Bob saw bob .": 3 / 4 * 1 / 3 / 2 * 1 / 3,
    '" Ann "': 1 / 4 * 2 / 3,
    '" Bob "': 1 / 4 * 1 / 3,
}


def first_lines(count: int) -> list[str]:
    return list(islice(chain.from_iterable(train_lines()), count))


def test_sentences_have_the_probabilities_of_the_rules() -> None:
    lines = list(islice(chain.from_iterable(generate(parse_rules(TINY), seed=5)), 60_000))
    counts = Counter(lines)
    assert set(counts) == set(TINY_PROBABILITIES)
    expected = np.array([60_000 * probability for probability in TINY_PROBABILITIES.values()])
    observed = np.array([counts[sentence] for sentence in TINY_PROBABILITIES])
    # Chi-square with 7 degrees of freedom exceeds 24.3 once in a thousand; the seed is fixed.
    assert ((observed - expected) ** 2 / expected).sum() < 24.3


def test_the_corpus_is_pinned() -> None:
    # Changing the rules or the way of drawing makes another corpus: then VERSION and these hashes must change.
    assert grammar.VERSION == "grammar-1"
    digest = hashlib.sha256("\n".join(first_lines(50_000)).encode()).hexdigest()
    assert digest == "5a0ced95e6155998fe7421ff397c2b4d3d5055a75077e50b2855a96b3e6e798a"
    held_out = list(chain.from_iterable(grammar.held_out_lines()))
    assert len(held_out) == 20_000
    assert (
        hashlib.sha256("\n".join(held_out).encode()).hexdigest()
        == "ecb4cf41b98b2b775f961d6ced7464ed22721e382cd8626f928e07dd75ea8356"
    )


def test_every_rule_is_defined_and_used() -> None:
    defined = re.findall(r"^(\w+) [=~]", grammar.RULES, re.MULTILINE)
    used = re.findall(r"<(\w+)>", grammar.RULES)
    assert len(defined) == len(set(defined))
    assert set(used) | {"line"} == set(defined)


def test_lines_are_tokenised_like_news() -> None:
    lines = first_lines(20_000)
    assert all(line[0].isupper() or line[0].isdigit() or line[0] in '"$' for line in lines)
    assert all(line.endswith((" .", " ?", ' "')) for line in lines)
    assert not any("  " in line or "<" in line or re.search(r"\w[,.?;]( |$)", abbreviations(line)) for line in lines)
    assert len(set(lines)) / len(lines) > 0.99


def abbreviations(line: str) -> str:
    return re.sub(r"\b(Mr|Ms|Dr|Sen|Gov|Gen|Prof|Rep|Inc|Corp|[A-Z])\.", r"\1", line)


@pytest.mark.parametrize("seed", [0, 1])
def test_articles_fit_the_next_word(seed: int) -> None:
    text = "\n".join(next(generate(parse_rules(), seed)))
    assert re.search(r"\b[Aa]n (agency|attack|election|economy|airline|engineer)\b", text)
    assert not re.search(r"\b[Aa] (agency|attack|election|economy|oil|airline|engineer|American)\b", text)
    assert not re.search(r"\b[Aa]n (United|European|year|company|university)\b", text)
