import numpy as np
import pytest

from data.batches import by_epochs, epoch_order, with_replacement


def seed_of_epoch(epoch: int) -> int:
    return 1000 + epoch


def test_with_replacement_is_numpys_generator() -> None:
    expected = np.random.Generator(np.random.PCG64(7)).integers(0, 50, size=(3, 8))
    assert (with_replacement(50, 8, 3, 7) == expected).all()
    drawn = with_replacement(50, 8, 2000, 7)
    assert np.bincount(drawn.ravel(), minlength=50) == pytest.approx(np.full(50, 320), abs=5 * 320**0.5)
    assert len(set(drawn[:6].ravel().tolist())) < 48  # one epoch would give 48 different lines


def test_every_line_once_per_epoch_but_for_an_incomplete_batch() -> None:
    epochs = by_epochs(50, 8, range(18), epoch_order(50, seed_of_epoch)).reshape(3, -1)
    for numbers in epochs.tolist():
        assert len(numbers) == len(set(numbers)) == 48
        assert set(numbers) < set(range(50))
    assert len({tuple(numbers) for numbers in epochs.tolist()}) == 3  # another order in each
    whole = by_epochs(48, 8, range(6), epoch_order(48, seed_of_epoch))
    assert sorted(whole.ravel().tolist()) == list(range(48))


def test_an_epoch_is_the_permutation_of_its_seed() -> None:
    expected = np.random.default_rng(1002).permutation(50)[:48].reshape(6, 8)
    assert (by_epochs(50, 8, range(12, 18), epoch_order(50, seed_of_epoch)) == expected).all()
    wrong = np.random.default_rng(1000).permutation(50)[:48].reshape(6, 8)  # the order of the first epoch again
    assert (expected != wrong).any()


@pytest.mark.parametrize("start", [0, 5, 6, 13])
def test_a_batch_alone_is_the_batch_of_a_run_from_the_start(start: int) -> None:
    whole = by_epochs(50, 8, range(20), epoch_order(50, seed_of_epoch))
    assert (by_epochs(50, 8, range(start, start + 7), epoch_order(50, seed_of_epoch)) == whole[start : start + 7]).all()
    for batch in reversed(range(20)):
        assert (by_epochs(50, 8, range(batch, batch + 1), epoch_order(50, seed_of_epoch))[0] == whole[batch]).all()


def test_one_batch_may_hold_all_lines() -> None:
    assert sorted(by_epochs(8, 8, range(3, 4), epoch_order(8, seed_of_epoch))[0].tolist()) == list(range(8))
