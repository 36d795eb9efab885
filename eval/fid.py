"""Fréchet Inception distance of images (Heusel et al. 2017, arXiv 1706.08500)."""

from collections.abc import Mapping

from data.files import cache_folder, sha256_of_json
from data.pictures import Pictures
from eval.features import Extractor, statistics_of
from eval.frechet import FeatureStatistics, distance, read_statistics
from eval.reference import some_of
from eval.score import Signature

_FORMAT = 1


def metric_name(extractor: Extractor) -> str:
    """Return what the Fréchet distance of an extractor's features is called: "fid" of Inception features alone."""
    return "fid" if extractor.signature.startswith("inception") else "fd-random"


def picture_statistics(pictures: Pictures, extractor: Extractor) -> FeatureStatistics:
    """Return the statistics of all of the pictures' features, from the cache where it has them.

    Raises:
        InputError: NaN or infinity came out, or the cache is damaged.
    """
    key = sha256_of_json([_FORMAT, pictures.sha256, extractor.signature])[:20]
    path = cache_folder() / "features" / f"{key}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        statistics_of(pictures.images, extractor).save(path)
    return read_statistics(path)


def floor(pictures: Pictures, extractor: Extractor, samples: int) -> float | None:
    """Return the distance of so many of the pictures to the others; None where more than half would be taken."""
    if not 2 <= samples <= len(pictures.images) // 2:
        return None
    part = statistics_of(pictures.images[some_of(len(pictures.images), samples)], extractor)
    return distance(part, picture_statistics(pictures, extractor).without(part))


def signature(reference: Pictures, extractor: Extractor, samples: int, settings: Mapping[str, str | int]) -> Signature:
    """Return what the distance of so many samples to the reference depends on."""
    size = "x".join(map(str, reference.images.shape[2:]))
    return Signature(
        metric_name(extractor),
        {
            "features": extractor.signature,
            "size": size,
            **settings,
            "ref": f"{reference.name}@{reference.sha256[:12]}",
            "samples": samples,
        },
    )
