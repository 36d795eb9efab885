from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.errors import InputError
from data.images.shapes import draw_shapes
from eval.fid import score_images
from eval.images import pairs as module
from eval.images import scores
from eval.images.kid import kid, kid_of_pairs
from eval.images.pairs import PairStatistics, pair_statistics
from eval.images.precision_recall import precision_recall, shares_of_pairs

Features = NDArray[np.floating[Any]]


def plain(samples: Features, reference: Features, neighbours: int = 3, dtype: type = np.float64) -> PairStatistics:
    """All pairs at once: kernels of whole matrices, distances as differences, neighbours from sorted rows."""
    x: Features = np.asarray(samples, dtype)
    y: Features = np.asarray(reference, dtype)
    groups = min(20, len(x), len(y))

    def sums(first: Features, second: Features) -> NDArray[np.float64]:
        kernel = (first @ second.T / first.shape[1] + 1) ** 3
        if first is second:
            kernel = kernel * (1 - np.eye(len(first), dtype=dtype))
        by_group = [[kernel[g::groups, h::groups].sum() for h in range(groups)] for g in range(groups)]
        return np.array(by_group, np.float64)

    def apart(first: Features, second: Features) -> Features:
        distances: Features = np.square(first[:, None] - second).sum(2)
        return distances

    reach1, reach2 = (np.sort(apart(features, features), 1)[:, neighbours] for features in (x, y))  # the 0th is itself
    across = apart(x, y)
    precise, recalled = (across <= reach2).any(1).sum(), (across <= reach1[:, None]).any(0).sum()
    inside = across < (np.sort(apart(y, y), 1)[:, 5] if len(y) > 5 else np.inf)
    return PairStatistics(
        len(x), len(y), neighbours, sums(x, x), sums(y, y), sums(x, y), int(precise), int(recalled),
        inside.sum(1), int(inside.any(0).sum()),
    )  # fmt: skip


def same(found: PairStatistics, expected: PairStatistics, tolerance: float = 1e-12) -> bool:
    """Whether counts are equal and sums agree, to a tolerance relative to the largest sum."""
    for field in fields(PairStatistics):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if np.abs(one - other).max() > (tolerance * np.abs(other).max() if isinstance(other, np.ndarray) else 0):
            return False
    return True


def counts(found: PairStatistics) -> tuple[object, ...]:
    return found.precise, found.recalled, found.covered, found.balls.tolist()


def draw(count: int, shift: float, seed: int = 0, size: int = 6) -> Features:
    return np.random.default_rng([seed, count]).normal(shift, 1, (count, size)).astype(np.float32)


@pytest.mark.parametrize(
    ("n", "m", "rows"), [(61, 47, 13), (60, 45, 15), (16, 33, 16), (33, 16, 32), (5, 6, 1), (9, 7, 99)]
)
def test_blocks_equal_whole_matrices(monkeypatch: pytest.MonkeyPatch, n: int, m: int, rows: int) -> None:
    samples, reference = draw(n, 0.4), draw(m, 0.0)
    monkeypatch.setattr(module, "_ROWS", rows)
    for neighbours in (1, 3):
        found, expected = (way(samples, reference, neighbours) for way in (pair_statistics, plain))
        assert same(found, expected)
        assert 0 < found.precise < n or 0 < found.recalled < m
    assert not same(found, plain(reference, samples))
    assert not same(found, plain(samples, reference, dtype=np.float32), 1e-9)


@pytest.mark.fuzz
@given(st.integers(4, 14), st.integers(4, 14), st.integers(1, 3), st.integers(1, 3), st.integers(0, 10**6))
def test_fuzz_equal_to_whole_matrices_on_a_grid(n: int, m: int, size: int, neighbours: int, seed: int) -> None:
    """Points of a coarse grid coincide, and lie on the edges of balls, where a rounding error would count."""
    random = np.random.default_rng(seed)
    shift = np.pi * (seed % 9)
    whole, real = (random.integers(-2, 3, (count, size)).astype(np.float64) for count in (n, m))
    samples, reference = whole + shift, real + shift
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS", 1 + seed % 7)
        found = pair_statistics(samples, reference, neighbours)
    assert counts(found) == counts(plain(whole, real, neighbours))
    with_shift = plain(samples, reference, neighbours)
    for name in ("within_samples", "within_reference", "across"):
        expected = getattr(with_shift, name)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=0, atol=1e-12 * np.abs(expected).max() + 1e-12)


def test_kid_and_shares_equal_whole_matrices_to_1e_9_far_from_the_origin() -> None:
    samples, reference = draw(530, 30.1, size=16), draw(90, 30.0, size=16)  # two blocks and one
    found, expected = pair_statistics(samples, reference), plain(samples, reference)
    value, low, high = (getattr(kid_of_pairs(found), name) for name in ("value", "low", "high"))
    was = kid_of_pairs(expected)
    assert (value, low, high) == pytest.approx((was.value, was.low, was.high), rel=1e-9)
    assert shares_of_pairs(found) == shares_of_pairs(expected)
    assert (kid(samples, reference), precision_recall(samples, reference)) == (
        kid_of_pairs(found),
        shares_of_pairs(found),
    )
    rounded = kid_of_pairs(plain(samples, reference, dtype=np.float32)).value
    assert abs(rounded / was.value - 1) > 1e-6  # what float32 would do


@pytest.mark.parametrize("rows", [3, 4, 512])
def test_copies_have_distance_0_in_one_block_and_in_two(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(module, "_ROWS", rows)
    reference = draw(10, 1000.0, size=300)
    samples = np.concatenate([reference[[2, 9, 2, 9]], draw(8, 1003.0, size=300)])  # none inside a ball but the copies
    doubled = np.concatenate([reference, reference])  # balls of radius 0 for k = 1
    found = pair_statistics(samples, doubled, neighbours=1)
    assert (found.precise, found.recalled) == (4, 4)
    assert same(found, plain(samples, doubled, neighbours=1))
    assert pair_statistics(doubled, reference, neighbours=1).recalled == 10


@pytest.mark.parametrize("rows", [3, 5, 512])
def test_an_image_on_the_edge_of_a_ball_is_inside(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(module, "_ROWS", rows)
    # Grids with centres (0, 0) and (4, 0), so all numbers are exact; third and fourth neighbours are often equally far.
    reference = np.array([(a, b) for a in (-3.0, -1.0, 1.0, 3.0) for b in (-3.0, -1.0, 1.0, 3.0)])
    samples = reference[[0, 3, 5, 6, 9, 10, 12, 15]] + np.array([4.0, 0.0])
    found = pair_statistics(samples, reference)
    assert same(found, plain(samples, reference))
    assert same(pair_statistics(reference, samples), plain(reference, samples))
    assert found.precise > pair_statistics(samples * (1 + 1e-9), reference).precise  # off the edge, outside


def test_one_image_per_set() -> None:
    one, other = np.array([[2.0, 0.0]]), np.array([[3.0, 4.0]])
    found = pair_statistics(one, other)
    assert [sums.item() for sums in (found.within_samples, found.within_reference, found.across)] == [
        0,
        0,
        (6 / 2 + 1) ** 3,
    ]
    assert (found.precise, found.recalled) == (1, 1)  # balls without neighbours are infinite
    with pytest.raises(InputError, match="1 image in a set has no KID"):
        kid_of_pairs(found)
    with pytest.raises(InputError, match="1 images in a set do not have 3 neighbours each"):
        shares_of_pairs(found)
    with pytest.raises(InputError, match="no images in a set"):
        pair_statistics(one[:0], other)


def test_both_metrics_of_a_command_come_from_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[tuple[int, int]] = []

    def counted(samples: Features, reference: Features, **settings: Any) -> PairStatistics:
        passes.append((len(samples), len(reference)))
        return pair_statistics(samples, reference, **settings)

    monkeypatch.setattr(scores, "pair_statistics", counted)
    images = draw_shapes(0, 14)[0]
    score_images(images[:6], images[6:], ["kid", "fid", "precision-recall"], features="random-conv")
    assert passes == [(6, 8)]
    score_images(images[:6], images[6:], features="random-conv")
    assert passes == [(6, 8)]
