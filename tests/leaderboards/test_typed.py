"""JSON read as dataclasses: every wrong type is named by its place."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.records import Curve, Record, SampleEntry, ScoreEntry, Task
from leaderboards.typed import typed

TASK: dict[str, Any] = {
    "name": "toy", "title": "Toy", "signature": "", "floor": None, "metrics": ["jsd"], "shown": {"jsd_4": "lower"}
}  # fmt: skip
RECORD: dict[str, Any] = {
    "name": "a", "kind": "runs", "signature": "", "facts": {}, "samples": [], "curve": None, "settings": {},
    "scores": {"jsd_4": {"end": 1}},
}  # fmt: skip


def test_values_are_kept_and_defaults_filled_in() -> None:
    task = typed(Task, TASK, "")
    assert task == Task("toy", "Toy", "", None, ("jsd",), {"jsd_4": "lower"})
    entry = typed(ScoreEntry, {"end": 1, "interval": [0, 1.5], "windows": [[None, 0.5]], "unheard of": 3}, "")
    assert entry == ScoreEntry(end=1.0, interval=(0.0, 1.5), windows=((None, 0.5),))
    assert typed(SampleEntry, {"file": None, "sha256": "", "scores": {}}, "") == SampleEntry(None, "", {})


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (Task, {**TASK, "shown": None}, "shown is not an object"),
        (Task, {**TASK, "shown": {"jsd_4": "less"}}, "shown.jsd_4 is not one of 'lower', 'higher'"),
        (Task, {**TASK, "title": 3}, "title is not a string"),
        (Task, {**TASK, "metrics": "jsd"}, "metrics is not a list"),
        (Task, {**TASK, "metrics": [1]}, r"metrics\[0\] is not a string"),
        (Task, {**TASK, "floor": {"jsd_4": "0.5"}}, "floor.jsd_4 is not a number"),
        (ScoreEntry, {"end": True}, "end is not a number"),
        (ScoreEntry, {"interval": [0.5]}, "interval is not a list"),
        (SampleEntry, {"file": "a", "sha256": "", "scores": {}, "seed": 0.5}, "seed is not a whole number"),
        (Curve, {"minutes": [1], "bands": {"jsd_4": {"mean": [], "low": []}}}, "bands.jsd_4.high"),
        (Record, {**RECORD, "folder": None}, "folder is not"),
        (Task, [], " is not an object"),
    ],
)
def test_wrong_types_are_named_by_their_place(kind: Any, value: Any, said: str) -> None:
    with pytest.raises((TypeError, KeyError), match=said):
        typed(kind, value, "")


NUMBERS = st.none() | st.floats(0, 1)


@given(
    st.builds(
        ScoreEntry,
        better=st.sampled_from(["lower", "higher"]),
        end=NUMBERS,
        best_run=NUMBERS,
        interval=st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)),
        runs=st.none() | st.lists(st.floats(0, 1)).map(tuple),
        windows=st.none() | st.lists(st.lists(NUMBERS).map(tuple)).map(tuple),
    )
)
def test_what_is_written_is_read(entry: ScoreEntry) -> None:
    assert typed(ScoreEntry, json.loads(json.dumps(asdict(entry))), "") == entry
