"""Joined signatures of records and tasks: everything that their scores depend on."""

import re
from collections.abc import Iterable
from typing import cast, get_args

from data.words import WHITE_SPACE, Splitting, WordRule
from eval.core.score import without_name
from eval.text.metrics import EXACT


def joint_signature(signatures: Iterable[object]) -> str:
    """Return the joined signature of several scores: everything that they depend on."""
    return "; ".join(dict.fromkeys(map(str, signatures)))


def exact_parts(signature: str) -> list[str]:
    """Return the parts of a joint signature for exact scores, which no samples give."""
    return [part for part in signature.split("; ") if part.startswith(f"{EXACT}|")]


def fits(record: str, task: str) -> bool:
    """Return whether a record's signature is the task's, whatever the reference's file is named.

    The record of a model without a density lacks the parts of exact scores.
    """
    exact = exact_parts(task)
    of_samples = "; ".join(part for part in task.split("; ") if part not in exact)
    return without_name(record) in (without_name(task), without_name(of_samples))


def word_rule(signature: str) -> WordRule:
    """Return the word rule in a signature that `eval.core.score.upgraded` returned; white space if it names none."""
    match = re.search(rf"\|words:({'|'.join(get_args(Splitting))})\|case:(as-is|lower)\|", signature)
    return WHITE_SPACE if match is None else WordRule(cast(Splitting, match[1]), match[2] == "lower")
