"""Sums and counts over all pairs of images of two sets, from one pass.

KID, precision, recall, density and coverage follow from the inner product of every two images: with the lengths of
both images it gives their distance, and the kernel of KID is a polynomial of it. With 2,048 features nearly all time
goes into these products, so they are computed once, block by block, in float64. In float32 the errors of the kernel
would be as large as a small KID.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from data.errors import InputError
from eval.core.intervals import GROUPS

NEIGHBOURS = 3
"""Neighbour that the ball of an image reaches to, for precision and recall."""
DENSITY_NEIGHBOURS = 5
"""Neighbour that the ball of an image reaches to, for density and coverage."""
CPU = torch.device("cpu")
NOT_FINITE = "NaN, infinity or overflow in features; check the inputs and the weights"

_ROWS = 512
_EQUAL = 1e-12  # relative squared distance below which two images are equal


@dataclass(frozen=True)
class PairStatistics:
    """Sums and counts over all pairs of N samples and M reference images.

    Images belong to G groups for the jackknife, image i to group i modulo G. `within_samples`, `within_reference` and
    `across` [G, G] are sums of the kernel (x.y / D + 1)^3, by the groups of the first and of the second image: over
    ordered pairs of different samples, of different reference images, and over pairs of a sample and a reference image.
    The ball of an image reaches to its k-th nearest neighbour in the same set, k being `neighbours`: `precise` samples
    lie inside a ball of the reference or on its edge, `recalled` reference images in a ball of the samples.

    Density and coverage have balls of the reference that reach to the fifth neighbour, without their edge: `balls` [N]
    is the number of balls that each sample lies in, `covered` the number of balls that hold a sample.
    """

    samples: int
    reference: int
    neighbours: int
    within_samples: NDArray[np.float64]
    within_reference: NDArray[np.float64]
    across: NDArray[np.float64]
    precise: int
    recalled: int
    balls: NDArray[np.int64]
    covered: int


Pairs = Callable[[], PairStatistics]
"""A function that returns the statistics of all pairs: several metrics share them, others never call it."""


def require_one_width(samples: NDArray[np.floating], reference: NDArray[np.floating]) -> None:
    """Refuse features [N, D] and [M, E] unless D = E.

    Raises:
        InputError: gives both numbers.
    """
    if samples.shape[1] != reference.shape[1]:
        sizes = f"{samples.shape[1]:,} features per sample, but {reference.shape[1]:,} per row of the reference"
        raise InputError(f"{sizes}; compute both by the same function")


def pair_statistics(
    samples: NDArray[np.floating],
    reference: NDArray[np.floating],
    neighbours: int = NEIGHBOURS,
    device: torch.device = CPU,
) -> PairStatistics:
    """Return the statistics of all pairs of features [N, D] and [M, D], computed on the device.

    Time grows with (N + M)^2 D, memory with (N + M) D. In a set of at most `neighbours` images every ball is infinite.

    Raises:
        InputError: an empty set, sets of different widths D, or NaN, infinity or overflow.
    """
    if not min(len(samples), len(reference)):
        raise InputError("no images in a set; give at least one, better thousands")
    require_one_width(samples, reference)
    groups = min(GROUPS, len(samples), len(reference))
    sets = [torch.from_numpy(np.array(features, np.float64)).to(device) for features in (samples, reference)]
    centre = sets[1].mean(0)
    first, second = (_Images.of(features, centre, groups) for features in sets)
    within1, nearest1 = _within(first, neighbours)
    within2, nearest2 = _within(second, max(neighbours, DENSITY_NEIGHBOURS))
    # Rounding errors must not put an image on the edge of a ball out of it, or inside a ball without its edge.
    reach1, reach2 = (nearest[:, neighbours - 1] * (1 + _EQUAL) for nearest in (nearest1, nearest2))
    inner = nearest2[:, DENSITY_NEIGHBOURS - 1] * (1 - _EQUAL)
    across = torch.zeros_like(within1)
    precise, recalled, covered = (reach.new_zeros(len(reach), dtype=torch.bool) for reach in (reach1, reach2, reach2))
    balls = torch.zeros(len(reach1), dtype=torch.int64, device=device)
    for rows, columns in _blocks(len(reach1), len(reach2)):
        kernel, squared = _kernel_and_distance(first, rows, second, columns)
        across += first.group[rows].T @ kernel @ second.group[columns]
        precise[rows] |= (squared - reach2[columns]).amin(1) <= 0
        recalled[columns] |= (squared - reach1[rows, None]).amin(0) <= 0
        inside = squared < inner[columns]
        balls[rows] += inside.sum(1)
        covered[columns] |= inside.any(0)
    return PairStatistics(
        len(samples), len(reference), neighbours, within1.cpu().numpy(), within2.cpu().numpy(), across.cpu().numpy(),
        int(precise.sum()), int(recalled.sum()), balls.cpu().numpy(), int(covered.sum()),
    )  # fmt: skip


@dataclass(frozen=True)
class _Images:
    """Features x of N images, prepared so that the distance and the kernel of a pair follow from one inner product.

    `centred` [N, D] is x - c with the same c for both sets: without c, distances would lose digits to a large mean.
    `squares` [N] is |x - c|^2. `shifts` [N] is |x|^2 / 2 D + 1/2: x.y / D + 1 is the sum of both shifts minus the
    squared distance / 2 D. `group` [N, G] is 1 where an image is in a group, else 0.
    """

    centred: Tensor
    squares: Tensor
    shifts: Tensor
    group: Tensor

    @classmethod
    def of(cls, features: Tensor, centre: Tensor, groups: int) -> "_Images":
        """Return features [N, D], which are overwritten, minus the centre [D].

        Raises:
            InputError: NaN, infinity or overflow.
        """
        count, size = features.shape
        shifts = torch.linalg.vecdot(features, features) / (2 * size) + 0.5
        centred = features.sub_(centre)
        squares = torch.linalg.vecdot(centred, centred)
        if not squares.isfinite().all():
            raise InputError(NOT_FINITE)
        group = torch.eye(groups, dtype=features.dtype, device=features.device).repeat(-(-count // groups), 1)[:count]
        return cls(centred, squares, shifts, group)


def _within(images: _Images, neighbours: int) -> tuple[Tensor, Tensor]:
    """Return the sums [G, G] of the kernel over ordered pairs of different images, and squared distances [N, k].

    The distances are from each image to its nearest other images, k being `neighbours`, in order; infinity if there are
    fewer. Blocks below the diagonal are not computed: they are those above it, transposed.
    """
    count, groups = images.group.shape
    sums = images.group.new_zeros(groups, groups)
    nearest = images.squares.new_full((count, neighbours), torch.inf)

    def keep_nearest(rows: slice, squared: Tensor) -> None:
        nearest[rows] = torch.cat([nearest[rows], squared], 1).topk(neighbours, largest=False).values

    for rows, columns in _blocks(count, count, upper=True):
        kernel, squared = _kernel_and_distance(images, rows, images, columns)
        if rows == columns:
            kernel.fill_diagonal_(0)
            squared.fill_diagonal_(torch.inf)
        block = images.group[rows].T @ kernel @ images.group[columns]
        sums += block
        keep_nearest(rows, squared)
        if rows != columns:
            sums += block.T
            keep_nearest(columns, squared.T)
    return sums, nearest


def _kernel_and_distance(first: _Images, rows: slice, second: _Images, columns: slice) -> tuple[Tensor, Tensor]:
    """Return kernel and squared distance [R, C] of the first images in rows and the second in columns.

    Rounding errors between equal images are set to 0, since a ball may have radius 0.
    """
    squares1, squares2 = first.squares[rows, None], second.squares[columns]
    squared = torch.addmm(squares2, first.centred[rows], second.centred[columns].T, alpha=-2).add_(squares1)
    if squared.amin() < _EQUAL * (squares1.amax() + squares2.amax()):  # rare except on the diagonal
        squared.masked_fill_(squared < _EQUAL * (squares1 + squares2), 0)
    base = torch.sub(first.shifts[rows, None], squared, alpha=0.5 / first.centred.shape[1]).add_(second.shifts[columns])
    return base.pow_(3), squared


def _blocks(rows: int, columns: int, upper: bool = False) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of each block of a matrix, if `upper` only of the diagonal and above."""
    starts = [(i, j) for i in range(0, rows, _ROWS) for j in range(i if upper else 0, columns, _ROWS)]
    for i, j in tqdm(starts, "pairs", disable=None, delay=1, leave=False):
        yield slice(i, min(i + _ROWS, rows)), slice(j, min(j + _ROWS, columns))
