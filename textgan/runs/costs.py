"""The table of costs of training steps, from JSON files that the bench has written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.inputs import require_file
from data.naming import without_folder
from eval.core.tables import Block, Format, render
from textgan.runs.speed import times

_NEEDED = {
    "model", "preset", "data", "dim", "batch_size", "peer_milliseconds", "milliseconds", "ratio", "low", "high",
    "training_precision", "threads", "machine", "torch", "textgan",
}  # fmt: skip
_HEADINGS = ["model", "preset", "data", "dim", "batch", "plain PyTorch, ms", "ours, ms", "ratio", "95 % interval"]


def cost_table(paths: Sequence[Path], output_format: Format) -> str:
    """Return one table per machine and versions of the training steps in JSON files, in the files' order.

    Raises:
        InputError: a file is absent, or no output of `textgan.bench --peer --json`.
    """
    records = [record for path in paths for record in _read(path)]
    by_machine: dict[str, list[list[str]]] = {}
    for each in records:
        rows = by_machine.setdefault(_machine(each), [_HEADINGS])
        sizes = [without_folder(each["data"]), str(each["dim"]), str(each["batch_size"])]
        rows.append([each["model"], each["preset"], *sizes, *times(each)])
    return render(output_format, [Block(machine, rows) for machine, rows in by_machine.items()], records)


def _machine(record: Mapping[str, Any]) -> str:
    threads = record["threads"]
    arithmetic = f"{threads} thread{'s' * (threads > 1)}, {record['training_precision']}"
    return f"{record['machine']}, {arithmetic}, torch {record['torch']}, textgan {record['textgan']}"


def _read(path: Path) -> list[dict[str, Any]]:
    require_file(path)
    try:
        records = json.loads(path.read_text("utf-8"))
    except ValueError:
        records = None
    if not isinstance(records, list) or not all(isinstance(each, dict) and each.keys() >= _NEEDED for each in records):
        raise InputError(f"{path}: no training steps beside a peer; write it by textgan.bench --peer --json > {path}")
    return records
