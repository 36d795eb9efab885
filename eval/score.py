"""Score and Signature: no number without the settings it depends on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data import __version__


@dataclass(frozen=True)
class Signature:
    """All that two scores must share to be compared, in the manner of sacrebleu (Post 2018, arXiv 1804.08771)."""

    metric: str
    settings: Mapping[str, str | int]

    def __str__(self) -> str:
        fields = "|".join(f"{name}:{value}" for name, value in self.settings.items())
        return f"{self.metric}|{fields}|v:{__version__}"


@dataclass(frozen=True)
class Score:
    """A metric's values per n-gram length, the floor that real text reaches, and the signature of the scores.

    `floor` is None where too few held-out lines exist for one.
    """

    metric: str
    scores: Mapping[int, float]
    floor: Mapping[int, float] | None
    samples: int
    reference: str
    signature: Signature

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-serialisable object."""
        return {
            "metric": self.metric,
            "scores": {str(n): value for n, value in self.scores.items()},
            "floor": None if self.floor is None else {str(n): value for n, value in self.floor.items()},
            "samples": self.samples,
            "reference": self.reference,
            "signature": str(self.signature),
        }
