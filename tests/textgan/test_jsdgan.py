import math

import pytest
import torch
from torch import Tensor

from data.errors import InputError
from tests.helpers.lines import a_line_model, all_lines
from tests.helpers.runs import PRESETS, config_of
from tests.helpers.small_oracle import an_oracle, divergences, learner, train_to
from textgan.engine.game import Networks
from textgan.engine.updates import Turn
from textgan.models.estimators import jsd_weights
from textgan.models.jsdgan import jsdgan
from textgan.models.lines import LineModel

TURN = Turn("generator", 0, None, torch.Generator())
LINES = all_lines(4, 3)
DATA = LINES[[1, 7, 19, 30]]


def flat_gradient(loss: Tensor, model: LineModel) -> Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])


def test_the_move_on_all_data_has_the_gradient_of_the_jsd() -> None:
    model, count = a_line_model(4, 3), len(DATA)
    g = model.log_probs(LINES).sum(dim=1).exp()
    d = torch.tensor([1 / count if line in DATA.tolist() else 0.0 for line in LINES.tolist()], dtype=torch.float64)
    m = (g + d) / 2
    jsd = (torch.special.xlogy(d, d) - torch.special.xlogy(d, m) + g * (g / m).log()).sum() / 2
    assert 0 < jsd.item() < math.log(2)
    exact = flat_gradient(jsd, model)
    of_data = model.log_probs(DATA).sum(dim=1).detach().exp()
    total = (of_data * (1 + 1 / (count * of_data)).log()).sum()
    ours = flat_gradient(jsdgan(count).generator(Networks(model), DATA, TURN)["loss"], model)
    assert torch.allclose(ours * total / 2, exact, rtol=0, atol=1e-12)
    # Known to be wrong: another number of lines, or gradients through the weights.
    wrong = flat_gradient(jsdgan(10 * count).generator(Networks(model), DATA, TURN)["loss"], model)
    assert torch.cosine_similarity(wrong, exact, dim=0) < 0.999
    attached = model.log_probs(DATA).sum(dim=1)
    weights = (attached + (1 + (-attached).exp() / count).log().log()).softmax(dim=0)
    assert torch.cosine_similarity(flat_gradient(-(weights * attached).sum(), model), exact, dim=0) < 0.999


def test_weights_are_g_log_one_plus_d_over_g_and_do_not_underflow() -> None:
    log_g = torch.tensor([-1.0, -3.0, -12.0, -20.0], dtype=torch.float64)
    plain = torch.tensor([math.exp(x) * math.log1p(math.exp(-x) / 50) for x in log_g.tolist()], dtype=torch.float64)
    assert torch.allclose(jsd_weights(log_g, 50), plain / plain.sum(), rtol=1e-12, atol=0)
    # Far below 1 / N the logarithm is -log N - log g.
    x, y = -900.0, -901.0
    ratio = math.exp(y - x) * (-y - math.log(50)) / (-x - math.log(50))
    first, second = jsd_weights(torch.tensor([x, y]), 50).tolist()
    assert second / first == pytest.approx(ratio, rel=1e-4)


def test_the_logged_number_of_lines_is_that_of_equal_weights() -> None:
    model = a_line_model(4, 3)
    scalars = jsdgan(7).generator(Networks(model), DATA[[0, 0, 0]], TURN)
    assert scalars["effective_lines"].item() == pytest.approx(3, abs=1e-12)
    weights = jsd_weights(model.log_probs(DATA).sum(dim=1), 7).tolist()
    several = jsdgan(7).generator(Networks(model), DATA, TURN)["effective_lines"].item()
    assert several == pytest.approx(1 / sum(weight**2 for weight in weights), abs=1e-12)


def test_it_lowers_the_jsd_after_maximum_likelihood() -> None:
    oracle = an_oracle(0, width=128)  # whose lines repeat, so that 1,000 of them are most of the distribution
    trainer, lines = learner(
        PRESETS["jsdgan-words"], oracle, pretraining=100, lines=1000, pretraining_lr=1e-2, generator_lr=3e-3
    )
    train_to(trainer, lines, 100)
    start = divergences(trainer.generator.network, oracle)
    train_to(trainer, lines, 150)
    assert divergences(trainer.generator.network, oracle).jsd < start.jsd - 0.05


def test_it_wants_the_number_of_lines() -> None:
    with pytest.raises(InputError, match="--lines None: the weights of JSDGAN need"):
        config_of(["--preset", "jsdgan-words", "--lines", "None"])
    assert config_of(["--preset", "jsdgan-words", "--pretraining", "0"]).pretraining == 0
