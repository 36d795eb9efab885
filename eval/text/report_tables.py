"""Tables of a report: the scores of each file, differences from the baseline, ranks that the tests allow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.naming import shortest_different
from eval.core.differences import Comparison, Difference, compare
from eval.core.score import Better, Estimate, Score, as_records
from eval.core.tables import Best, Block, Format, Table, fixed, render

_ARROWS = {"lower": "v", "higher": "^"}
_LATEX_ARROWS = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True)
class _Row:
    """One value of all files: its name, direction, estimates in the order of the files, and their comparison."""

    name: str
    better: Better
    estimates: Sequence[Estimate]
    comparison: Comparison


def rendered(scores: Mapping[str, Sequence[Score]], output_format: Format, baseline: int = 0) -> str:
    """Render a report: a table with one column per file; CSV has one line per file and value.

    Args:
        scores: the scores of each file by name, in equal order, at equal sample counts.
        output_format: the format.
        baseline: the number of the file from which the differences of the other files are shown.
    """
    files = shortest_different(list(scores))
    rows = list(_rows(scores))
    arrows = _LATEX_ARROWS if output_format == "latex" else _ARROWS
    legend = f"{arrows['lower']} lower is better, {arrows['higher']} higher"
    legend += "; * better than all others, by the tests below" if output_format == "text" and len(files) > 1 else ""
    signatures = [str(score.signature) for score in next(iter(scores.values()))]
    blocks = [Block("", _values(rows, files, arrows), [legend], signatures)]
    if len(files) > 1:
        blocks.append(_differences(rows, files, baseline))
    if len(files) > 2:
        ranks = [[row.name, *map(_ranks, row.comparison.ranks)] for row in rows]
        blocks.append(Block("ranks that the tests of all pairs allow", [["", *files], *ranks]))
    found = {row.name: row for row in rows}
    records = [
        {"file": file, **record, **_compared(found[record["name"]], number, baseline, list(scores))}
        for number, (file, file_scores) in enumerate(scores.items())
        for score in file_scores
        for record in as_records(score)
    ]
    whole = {file: [score.as_json() for score in file_scores] for file, file_scores in scores.items()}
    for number, file_scores in enumerate(whole.values()):
        for score in file_scores:
            for name, value in score["scores"].items():
                value |= _compared(found[name], number, baseline, list(scores))
    return render(output_format, blocks, records, whole)


def _ranks(allowed: tuple[int, int]) -> str:
    best, worst = allowed
    return f"{best}-{worst}" if best < worst else str(best)


def _rows(scores: Mapping[str, Sequence[Score]]) -> Iterator[_Row]:
    for metric_scores in zip(*scores.values(), strict=True):
        first = metric_scores[0]
        for name in first.values:
            estimates = [score.values[name] for score in metric_scores]
            yield _Row(name, first.better, estimates, compare(estimates, first.better))


def _values(rows: Sequence[_Row], files: Sequence[str], arrows: Mapping[str, str]) -> Table:
    table: list[list[str | Best]] = [["", "", *files, "real text"]]
    for row in rows:
        best = row.comparison.best
        cells = [_value(estimate, number == best) for number, estimate in enumerate(row.estimates)]
        floor = row.estimates[0].floor
        table.append([row.name, arrows[row.better], *cells, "-" if floor is None else fixed(floor)])
    return table


def _value(estimate: Estimate, best: bool) -> str | Best:
    value, interval = fixed(estimate.value), _interval(estimate)
    return Best(value, interval) if best else value + interval


def _interval(found: Estimate | Difference) -> str:
    return "" if found.low is None or found.high is None else f" ({fixed(found.low)} .. {fixed(found.high)})"


def _differences(rows: Sequence[_Row], files: Sequence[str], baseline: int) -> Block:
    others = [number for number in range(len(files)) if number != baseline]
    table = [["", *(files[number] for number in others), "detectable"]]
    for row in rows:
        found = [row.comparison.differences[number, baseline] for number in others]
        cells = [f"{fixed(each.value, sign='+')}{_interval(each)} {_verdict(each, row.better)}" for each in found]
        detectable = row.comparison.detectable
        table.append([row.name, *cells, "-" if detectable is None else fixed(detectable)])
    pairs = len(files) * (len(files) - 1) // 2
    family = f", adjusted for {pairs} pairs of files (Holm)" if pairs > 1 else ""
    notes = [
        f"95 % interval per difference; better and worse: p <= .05{family}",
        "detectable: the smallest expected difference that the test of a pair tells with a probability of 80 %",
    ]
    return Block(f"differences from {files[baseline]}", table, notes)


def _verdict(found: Difference, better: Better) -> str:
    if found.p_value is None and found.value:
        return "spread unknown"
    if not found.told:
        return "cannot be told"
    return "better" if (found.value < 0) == (better == "lower") else "worse"


def _compared(row: _Row, file: int, baseline: int, names: Sequence[str]) -> dict[str, Any]:
    """Return the entries of a file's difference from the baseline, empty if there is one file."""
    if len(names) == 1:
        return {}
    found = None if file == baseline else row.comparison.differences[file, baseline]
    best, worst = row.comparison.ranks[file]
    return {
        "baseline": names[baseline],
        "difference": None if found is None else found.value,
        "difference_low": None if found is None else found.low,
        "difference_high": None if found is None else found.high,
        "p_value": None if found is None else found.p_value,
        "verdict": None if found is None else _verdict(found, row.better),
        "detectable": None if found is None else found.detectable,
        "best_rank": best,
        "worst_rank": worst,
    }
