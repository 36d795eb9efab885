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
    return without_name(record) in (without_name(task), without_name(_of_samples(task)))


def _of_samples(signature: str) -> str:
    exact = exact_parts(signature)
    return "; ".join(part for part in signature.split("; ") if part not in exact)


def told_apart(record: str, task: str) -> str:
    """Return in words where a record's signature differs from the task's: metrics, or else the fields of any metric."""
    if not exact_parts(record):
        task = _of_samples(task)
    ours, theirs = (
        {metric: rest.split("|") for metric, _, rest in (part.partition("|") for part in each.split("; "))}
        for each in (without_name(record), without_name(task))
    )
    if ours.keys() != theirs.keys():
        return f"scored by {', '.join(ours)}, but the task by {', '.join(theirs)}"
    left, right = (
        dict.fromkeys(field for metric in a for field in a[metric] if field not in b[metric])
        for a, b in ((ours, theirs), (theirs, ours))
    )
    return f"scored with {', '.join(left) or 'nothing more'}, but the task with {', '.join(right) or 'nothing more'}"


def word_rule(signature: str) -> WordRule:
    """Return the word rule in a signature that `eval.core.score.upgraded` returned; white space if it names none."""
    match = re.search(rf"\|words:({'|'.join(get_args(Splitting))})\|case:(as-is|lower)\|", signature)
    return WHITE_SPACE if match is None else WordRule(cast(Splitting, match[1]), match[2] == "lower")
