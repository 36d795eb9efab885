"""Read the options and metrics in a run's folder, of this version and earlier ones; needs no torch.

`options.json` records the folder's format. Format 2 groups the columns of `metrics.jsonl`: `scores/jsd_4`,
`time/train_seconds`, `train/critic_loss`. Format 1 (textgan 0.1.0) has names without groups, and records no format.
`read_options` and `read_metrics` return both formats as format 2; `as_format` converts a row back to the run's format,
so that a continued run keeps one format.

A run declares each of its scores in `options.json`, so that readers need not know any score by name.
"""

import glob
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data.errors import InputError
from data.files import sha256_of_json
from data.renamed import current_settings
from eval.core.score import Score, upgraded

OPTIONS, METRICS, SUMMARY = "options.json", "metrics.jsonl", "summary.json"

FORMAT = 2

Row = Mapping[str, Any]

# Columns of the groups `time` and `train` in format 1; the others are scores. `iteration` has no group.
_TIME_1 = ("critic_updates", "samples_seen", "wall_seconds", "train_seconds")
_TRAIN_1 = (
    *("critic_loss", "generator_loss", "gradient_penalty", "wasserstein", "critic_gradient_norm"),
    *("generator_gradient_norm", "critic_update_norm", "generator_update_norm"),
)

NO_METHOD = {"seed", "run_dir", "data", "weights", "diagnostics"}
"""Settings that are no part of a method: the seed, paths (scores' signatures have the hashes of the files), logging."""

# Settings that earlier versions did not have, with the values that reproduce those versions.
_ADDED_SETTINGS: Mapping[str, Any] = {
    "eval_seconds": None, "max_gradient_norm": None, "start": None, "diagnostics": False,
    "training_precision": "float32",
}  # fmt: skip
_ADDED_TO_GANS: Mapping[str, Any] = {"generator_steps": 1, "critic_warm_up": 0, "rule": "alternating"}
# Of games on samples in place of lines: WGAN-GP and images, which draw from latent noise.
_ADDED_TO_SAMPLES: Mapping[str, Any] = {"loss": "wasserstein", "penalty": "wgan-gp", "spectral_norm": "off"}
_ADDED_TO_IMAGES: Mapping[str, Any] = {"precision": "float32", "upsampling": "transposed", "critic_norm": "batch"}
_ADDED_TO_TEXT: Mapping[str, Any] = {
    "symbols": "char", "order": "replacement", "scores": ["jsd"], "score_seq_len": None, "words": "punctuation",
    "lower_case": False,
}  # fmt: skip
# Settings that every text run recorded, and that maximum likelihood does not use.
_UNUSED_BY_MLE = ("critic_lr", "critic_schedule", "critic_steps", "penalty_weight", "latent_dim")


@dataclass(frozen=True)
class DeclaredScore:
    """A run's declaration of a score.

    Attributes:
        better: whether lower or higher values mean better samples.
        headline: whether charts and tables show the score by default.
        signature: all settings that the score depends on; scores compare only if their signatures are equal.
        least: lower bound of the expected value (a value itself may be lower, as of a kernel distance).
        most: upper bound of the expected value; None if there is none.
    """

    better: Literal["lower", "higher"]
    headline: bool
    signature: str
    least: float = 0.0
    most: float | None = None

    @property
    def sign(self) -> int:
        """1 if lower values are better, else -1: of two values times the sign, the smaller one is better."""
        return 1 if self.better == "lower" else -1


def declared(scores: Sequence[Score], headlines: Collection[str]) -> dict[str, DeclaredScore]:
    """Return the declarations of scores by the names that runs and records give them ("jsd_4").

    The headline scores are the ones named in `headlines`; if none of these is scored, all. Values in bits and shares
    lie in [0, 1], all others in [0, infinity).
    """
    by_name = {score_name(name): score for score in scores for name in score.values}
    shown = headlines_among(by_name, headlines)
    return {
        name: DeclaredScore(
            score.better, name in shown, str(score.signature), most=1.0 if score.unit in ("bits", "share") else None
        )
        for name, score in by_name.items()
    }


def values_by_name(scores: Sequence[Score]) -> dict[str, float]:
    """Return the values of scores, by name."""
    return {score_name(name): estimate.value for score in scores for name, estimate in score.values.items()}


def floors_by_name(scores: Sequence[Score]) -> dict[str, float]:
    """Return the known floors of scores, the scores of real data, by name."""
    known = {score_name(name): estimate.floor for score in scores for name, estimate in score.values.items()}
    return {name: floor for name, floor in known.items() if floor is not None}


def headlines_among(names: Collection[str], headlines: Collection[str]) -> set[str]:
    """Return the names that are headlines; all names if none is."""
    return set(names) & set(headlines) or set(names)


def declared_scores(folder: Path) -> dict[str, DeclaredScore]:
    """Return a run's declared scores, by name.

    Raises:
        InputError: the run was made by a version that did not record its scores' names.
    """
    options = read_options(folder)
    if "scores" not in options:
        raise InputError(f"{folder}: made by an older version, which did not record its scores' names; train again")
    return {name: DeclaredScore(**score) for name, score in options["scores"].items()}


def headline(scores: Mapping[str, DeclaredScore]) -> list[str]:
    """Return the names of the headline scores."""
    return [name for name, score in scores.items() if score.headline]


def read_options(folder: Path) -> dict[str, Any]:
    """Return a run's options; options of earlier versions get this version's setting names and declared scores.

    The entry `format` is still the folder's format.

    Raises:
        InputError: the folder has no run, or its options cannot be read.
    """
    path = folder / OPTIONS
    if not path.exists():
        raise InputError(f"{folder}: not a run (no {OPTIONS}); give the folder of a run")
    try:
        options: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); start again with another --run-dir") from error
    newer = {"format": options.get("format", 1), "config": _upgraded_settings(options)}
    if isinstance(options.get("scores"), list):
        newer["scores"] = _declarations(options["scores"], upgraded(options.pop("signature")))
    if "characters" in options:
        newer["tokenizer"] = {"characters": options.pop("characters")}
    return {**options, **newer}


def start_settings(config: Mapping[str, Any]) -> str:
    """Return the hash of the settings of a run that another run starts from, without seed, paths and device."""
    left_out = {*NO_METHOD, "device", "start"}
    return sha256_of_json({name: value for name, value in config.items() if name not in left_out})


def _upgraded_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings, with settings added since and without settings that its model does not use."""
    config = current_settings(options["config"])
    of_kind = _ADDED_TO_TEXT if "seq_len" in config else _ADDED_TO_IMAGES if "compat" in config else {}
    config = {**_ADDED_SETTINGS, **of_kind, **config}
    if "training_precision" not in options["config"] and options.get("device", {}).get("type") == "cuda":
        config["training_precision"] = "tf32"  # which PyTorch takes in convolutions by default
    if config.get("model") == "mle":
        return {name: value for name, value in config.items() if name not in _UNUSED_BY_MLE}
    of_game = _ADDED_TO_SAMPLES if "latent_dim" in config else {}
    return {**(_ADDED_TO_GANS if "critic_lr" in config else {}), **of_game, **config}


def _declarations(names: Sequence[str], signature: str) -> dict[str, Any]:
    """Return the declarations of a run that recorded its scores' names and one signature: JSDs, or a distance."""
    shown = headlines_among(names, ("jsd_4", "jsd_6"))
    common = {"better": "lower", "signature": signature, "least": 0.0}
    return {
        name: {**common, "headline": name in shown, "most": 1.0 if name.startswith("jsd_") else None} for name in names
    }


def read_metrics(folder: Path) -> list[Row]:
    """Return the rows of a run's metrics with the columns of format 2.

    A last line that a crash cut off is dropped.

    Raises:
        InputError: another line is damaged.
    """
    path = folder / METRICS
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}:{number}: damaged row ({error}); remove the line") from error
        rows.append(_with_gradient_evaluations({_grouped(name): value for name, value in row.items()}))
    return rows


def _with_gradient_evaluations(row: Row) -> Row:
    """Return a row with its gradient evaluations; earlier versions updated in turn, by one evaluation per update.

    Before rows counted the generator's updates, there was one per iteration, and none in a GAN's first iteration.
    """
    critic = row.get("time/critic_updates")
    if critic is None or "time/gradient_evaluations" in row:
        return row
    generator = row.get("time/generator_updates", row["iteration"] - (critic > 0))
    return {**row, "time/gradient_evaluations": generator + critic}


def _grouped(name: str) -> str:
    """Convert a column's name, of either format, to format 2."""
    if name == "iteration" or "/" in name:
        return name
    group = "time" if name in _TIME_1 else "train" if name in _TRAIN_1 else "scores"
    return f"{group}/{name}"


def as_format(row: Row, number: int) -> Row:
    """Convert a row of format 2 to the format with this number; format 1 has fixed columns beside the scores."""
    if number == FORMAT:
        return row
    names = ("iteration", *_TIME_1, *of_group(row, "scores"), *_TRAIN_1)
    return {name: row.get(_grouped(name)) for name in names}


def without_group(name: str) -> str:
    """Return a column's name without the group: jsd_4 for scores/jsd_4."""
    return name.rpartition("/")[2]


def of_group(row: Row, group: str) -> dict[str, Any]:
    """Return the columns of one group of a row, named without the group."""
    return {without_group(name): value for name, value in row.items() if name.startswith(f"{group}/")}


def score_name(name: str) -> str:
    """Return the name that a value of a `Score` ("jsd-4") has in runs and records ("jsd_4")."""
    return name.replace("-", "_")


def score_title(name: str) -> str:
    """Return the title of a score: "JSD-4" for "jsd_4"."""
    return name.upper().replace("_", "-")


def find_runs(places: Sequence[str]) -> list[Path]:
    """Return the folders of the runs at or below the given places, without duplicates, sorted.

    Places are folders or glob patterns; the name of an existing path is not read as a pattern.

    Raises:
        InputError: a place has no run.
    """
    folders: dict[Path, Path] = {}
    for place in places:
        runs = {options.parent for match in _matches(place) for options in match.rglob(OPTIONS)}
        if not runs:
            raise InputError(f"{place}: no run there (no {OPTIONS}); give the folder of a run or of several")
        folders |= {run.resolve(): run for run in sorted(runs)}
    return sorted(folders.values())


def _matches(place: str) -> list[Path]:
    """Return the paths that match a place; the part of it that names existing folders is not read as a pattern."""
    path = Path(place)
    if not place or path.exists():
        return [path] if place else []
    existing = next(parent for parent in path.parents if parent.exists())
    pattern = str(path.relative_to(existing))
    return [existing / match for match in glob.glob(pattern, root_dir=existing, recursive=True)]  # noqa: PTH207 (hides .*)
