"""Notes on what comparisons of runs leave out, or cannot compare."""

from collections.abc import Sequence

from textgan.runs.aggregate import Axis, Group, Run, common_end, window_count


def windows_and_note(groups: Sequence[Group], axis: Axis, wanted: int) -> tuple[int, str | None]:
    """Return the number of windows, and a note if it is smaller than wanted."""
    points, rarest = window_count(groups, axis, wanted)
    if points == wanted:
        return points, None
    end, shortest = common_end(groups, axis)
    evaluations = "one evaluation" if points == 1 else f"{points} evaluations"
    note = f"note: {points} of {wanted} windows: {rarest.folder} has {evaluations}"
    if rarest.x(axis)[-1] > 2 * end:
        return points, f"{note} up to {end:g} {axis}, where {shortest} ends; continue that run, or leave it out"
    by_clock = "a larger --eval-seconds" if rarest.config.get("eval_seconds") else "--eval-seconds"
    remedy = f"; {by_clock} scores all methods at the same times" if "minutes" in axis else ""
    return points, f"{note} after its start{remedy}"


def note_on_speeds(runs: Sequence[Run], axis: Axis) -> str | None:
    """Return a note if an axis of minutes compares runs with different numbers of threads, processes or replicas."""
    speeds = list(dict.fromkeys(run.speed for run in runs))
    if "minutes" not in axis or len(speeds) < 2:
        return None
    alike = "do not compare; iterations do: --axis iterations"
    return f"note: minutes of runs with {' and of runs with '.join(speeds)} {alike}"
