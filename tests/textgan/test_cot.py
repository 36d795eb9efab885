import pytest
import torch
from torch import Tensor

from data.errors import InputError
from tests.helpers.lines import a_line_model
from tests.helpers.runs import PRESETS, config_of
from tests.helpers.small_oracle import an_oracle, divergences, learner, train_to
from textgan.engine.game import Networks
from textgan.engine.updates import Turn
from textgan.models.cot import cot, networks
from textgan.models.lines import LineModel

GENERATOR, MEDIATOR = a_line_model(4, 3), a_line_model(4, 3, dim=16, seed=1)
PLAYERS = Networks(GENERATOR, MEDIATOR)
BATCH = 12


def turn() -> Turn:
    return Turn("generator", 0, None, torch.Generator().manual_seed(2))


def drawn() -> Tensor:
    """The lines that a move draws first."""
    ids = GENERATOR.draw(BATCH, turn().random)
    assert (ids == 0).any()
    assert (ids != 0).all(dim=1).any()
    return ids


def flat_gradient(loss: Tensor, model: LineModel) -> Tensor:
    return torch.cat(
        [part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)]
    )


def prefix_divergences() -> list[list[Tensor]]:
    """KL(G_t || M_t) of each symbol of each drawn line, its end included."""
    rows = []
    for line in drawn():
        g, m = GENERATOR(line[None])[0].softmax(dim=-1), MEDIATOR(line[None])[0].softmax(dim=-1).detach()
        length = min([*torch.nonzero(line == 0).flatten().tolist(), 2]) + 1
        rows.append(
            [sum((g[t, v] * (g[t, v] / m[t, v]).log() for v in range(4)), torch.zeros(())) for t in range(length)]
        )
    return rows


def test_the_generator_descends_on_the_divergences_along_its_own_lines() -> None:
    ours = cot(False).generator(PLAYERS, drawn(), turn())["loss"]
    plain = sum((sum(row, torch.zeros(())) for row in prefix_divergences()), torch.zeros(())) / BATCH
    assert ours.item() == pytest.approx(plain.item(), abs=1e-12)
    assert torch.allclose(flat_gradient(ours, GENERATOR), flat_gradient(plain, GENERATOR), rtol=0, atol=1e-12)
    # Known to be wrong: positions after the ends count.
    g, m = GENERATOR(drawn()).log_softmax(dim=-1), MEDIATOR(drawn()).log_softmax(dim=-1)
    assert abs((g.exp() * (g - m)).sum().item() / BATCH - plain.item()) > 1e-3


def test_the_prefix_gradient_is_reinforce_of_the_later_divergences() -> None:
    rows, lines = prefix_divergences(), drawn()
    later = [[sum(value.item() for value in row[t + 1 :]) for t in range(3)] for row in rows]
    surrogate = torch.zeros(())
    for i, line in enumerate(lines):
        log_g = GENERATOR(line[None])[0].log_softmax(dim=-1)
        for t, divergence in enumerate(rows[i]):
            others = sum(later[j][t] for j in range(BATCH) if j != i) / (BATCH - 1)
            surrogate = surrogate + divergence + log_g[t, line[t]] * (later[i][t] - others)
    expected = flat_gradient(surrogate / BATCH, GENERATOR)
    ours = flat_gradient(cot(True).generator(PLAYERS, lines, turn())["loss"], GENERATOR)
    assert torch.allclose(ours, expected, rtol=0, atol=1e-12)
    without = flat_gradient(cot(False).generator(PLAYERS, lines, turn())["loss"], GENERATOR)
    assert not torch.allclose(ours, without, atol=1e-3)


def test_the_mediator_learns_real_and_drawn_lines_by_likelihood() -> None:
    real = torch.tensor([[2, 3, 1], [3, 0, 0]] * (BATCH // 2))
    critic = cot(False).critic
    assert critic is not None
    log_probs, count = torch.zeros(()), 0
    for line in torch.cat([real, drawn()]):
        for row, symbol in zip(MEDIATOR(line[None])[0].log_softmax(dim=-1), line.tolist(), strict=True):
            log_probs, count = log_probs + row[symbol], count + 1
            if symbol == 0:
                break
    loss = critic(PLAYERS, real, turn())["loss"]
    assert loss.item() == pytest.approx(-log_probs.item() / count, abs=1e-12)
    assert torch.allclose(flat_gradient(loss, MEDIATOR), flat_gradient(-log_probs / count, MEDIATOR), atol=1e-12)


def test_the_mediator_is_twice_as_wide_and_starts_without_pretraining() -> None:
    players = networks(config_of(["--preset", "cot-words-ttur", "--dim", "8"]), 30)
    assert isinstance(players.generator, LineModel)
    assert isinstance(players.critic, LineModel)
    assert (players.generator.embedding.weight.shape, players.critic.embedding.weight.shape) == ((31, 8), (31, 16))
    ttur, orig, control = (PRESETS[f"cot-words-{name}"] for name in ("ttur", "orig", "control"))
    assert ttur.pretraining == 0
    assert orig.critic_lr == orig.generator_lr
    assert (
        control.generator_lr
        == control.critic_lr
        == pytest.approx((ttur.generator_lr * ttur.critic_lr) ** 0.5, rel=1e-2)
    )


@pytest.mark.parametrize("prefix_gradient", ["off", "on"])
def test_it_learns_an_oracle(prefix_gradient: str) -> None:
    oracle, rates = an_oracle(0), {"generator_lr": 5e-3, "critic_lr": 1.5e-2}
    trainer, lines = learner(PRESETS["cot-words-ttur"], oracle, prefix_gradient=prefix_gradient, **rates)
    start = divergences(trainer.generator.network, oracle)
    train_to(trainer, lines, 75)
    assert divergences(trainer.generator.network, oracle).kl < 0.5 * start.kl


def test_rules_that_need_gradients_through_samples_are_refused() -> None:
    with pytest.raises(InputError, match="--rule consensus: needs gradients through samples"):
        config_of(["--preset", "cot-words-ttur", "--rule", "consensus"])
    with pytest.raises(InputError, match="--batch-size 1: must be at least 2"):
        config_of(["--preset", "cot-words-ttur", "--batch-size", "1"])
    assert config_of(["--preset", "cot-words-ttur", "--rule", "optimistic"]).rule == "optimistic"
