"""The peers of the bench play our games: equal losses and gradients by equal weights, lines and noise, in float64."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from data.errors import InputError
from textgan.engine.game import Networks
from textgan.engine.trainer import make_trainer
from textgan.engine.updates import Turn
from textgan.models import MODELS
from textgan.models.lines import LineModel, pick
from textgan.runs.peers import line_games, lines, rnn_wgan
from textgan.runs.peers.step import step_of
from textgan.runs.peers.table import PEERS, peer_step

SYMBOLS, LENGTH, LINES = 5, 4, 6
CPU = torch.device("cpu")
SIZES = {
    "seq_len": LENGTH, "dim": 3, "batch_size": LINES, "critic_dim": 4, "representations": 2, "rollouts": 2,
    "references": 2, "cap": 1.5, "final_inverse_temperature": 1.0, "bandwidth": 2.0, "mmd_weight": 0.5,
    "data": "grammar",
}  # fmt: skip
PLAYERS = [(model, "generator") for model in PEERS] + [(model, "critic") for model in PEERS if PEERS[model].critic]


def without_ends(ids: Tensor) -> Tensor:
    return ids != 0


def of_whole_lines(_generator: lines.Lines, reward: Callable[[Tensor], Tensor], ids: Tensor, _rollouts: int) -> Tensor:
    return reward(ids).unsqueeze(1).expand(ids.shape)


def without_baseline(log_probs: Tensor, rewards: Tensor) -> Tensor:
    return -(log_probs * rewards).sum(dim=1).mean()


def without_comparison(y: Tensor, _others: Tensor, references: Tensor, _scale: float) -> Tensor:
    return torch.cosine_similarity(y.unsqueeze(1), references, dim=2).mean(dim=1)


def distance_of_means(x: Tensor, y: Tensor, _bandwidth: float) -> Tensor:
    return (x.mean(dim=0) - y.mean(dim=0)).square().sum()


def uncut(generator: rnn_wgan.Generator, real: Tensor, deviation: float) -> tuple[Tensor, Tensor, Tensor]:
    noise = deviation * torch.randn(len(real), generator.dim, dtype=torch.float64)
    return torch.eye(SYMBOLS, dtype=torch.float64)[real], generator(noise, real), torch.full((LINES,), LENGTH)


WRONG: Sequence[tuple[str, str, Any, str, Any]] = [
    ("likelihood", "generator", line_games, "in_line", without_ends),
    ("maligan", "generator", lines, "in_line", without_ends),
    ("cot", "critic", line_games, "in_line", torch.ones_like),
    ("dense", "critic", line_games, "in_line", torch.ones_like),
    ("dense", "generator", line_games, "returns", lambda rewards, _gamma: rewards),
    ("seqgan", "generator", line_games, "prefix_values", of_whole_lines),
    ("dpgan", "generator", line_games, "reinforce", without_baseline),
    ("rankgan", "critic", line_games, "log_ranks", without_comparison),
    ("textgan-mmd", "generator", line_games, "squared_mmd", distance_of_means),
    ("rnn-wgan", "critic", rnn_wgan, "lines_of", uncut),
]


def tiny(model: str) -> tuple[Any, Networks]:
    """Return small settings of a model's first preset, and networks far from uniform, in float64."""
    preset: Any = MODELS[model].presets[0]
    known = {field.name for field in fields(preset)}
    settings: Any = replace(preset, **{name: value for name, value in SIZES.items() if name in known})
    networks = MODELS[model].networks(settings, SYMBOLS)
    random = torch.Generator().manual_seed(3)
    for network in filter(None, (networks.generator, networks.critic)):
        network.double()
        for weight in network.parameters():
            nn.init.normal_(weight, std=0.6, generator=random)
    return settings, networks


def real_lines() -> Tensor:
    """Return lines [6, 4] of several lengths."""
    ids = torch.randint(SYMBOLS, (LINES, LENGTH), generator=torch.Generator().manual_seed(1))
    return ids * (torch.cumprod(ids != 0, dim=1) > 0)


def with_our_noise(patch: pytest.MonkeyPatch, ours: nn.Module, rollouts: int) -> None:
    """Let the peer's random numbers, lines and completions be ours from the seed of `our_loss`."""
    random = torch.Generator().manual_seed(2)

    def seeded(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *size, **options: draw(*size, **{"generator": random, **options})

    for name in ("rand", "randn", "randint"):
        patch.setattr(torch, name, seeded(getattr(torch, name)))
    if not isinstance(ours, LineModel):
        return
    completions: Iterator[Tensor] = iter(())

    def draw(_peer: lines.Lines, count: int) -> Tensor:
        nonlocal completions
        drawn = ours.draw(count, random)
        if rollouts:
            completions = iter(ours.rollouts(drawn, rollouts, random).flatten(0, 1))
        return drawn

    def complete(_peer: lines.Lines, prefixes: Tensor) -> Tensor:
        completed = next(completions)
        assert torch.equal(completed[:, : prefixes.shape[1]], prefixes)
        return completed

    patch.setattr(lines.Lines, "draw", draw)
    patch.setattr(lines.Lines, "complete", complete)


def worst_difference(model: str, player: str, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return the largest difference between the peer's loss or gradients of a player and ours."""
    settings, networks = tiny(model)
    peer = PEERS[model]
    theirs = {"generator": peer.generator(networks.generator)}
    if peer.critic is not None:
        theirs["critic"] = peer.critic(networks.require_critic())
    game = MODELS[model].phases(settings, networks)[-1].game
    move = game.generator if player == "generator" else game.critic
    assert move is not None
    ours = move(networks, real_lines(), Turn(player, 0, None, torch.Generator().manual_seed(2)))["loss"]
    loss = peer.generator_loss if player == "generator" else peer.critic_loss
    assert loss is not None
    with monkeypatch.context() as patch:
        rollouts = getattr(settings, "rollouts", 0) if player == "generator" else 0
        with_our_noise(patch, networks.generator, rollouts)
        of_peer = loss(theirs["generator"], theirs.get("critic"), real_lines(), settings)
    assert ours.dtype == of_peer.dtype == torch.float64
    gradients = []
    for value, network in ((ours, vars(networks)[player]), (of_peer, theirs[player])):
        names = [name.removeprefix("body.") for name, _ in network.named_parameters()]
        found = torch.autograd.grad(value, list(network.parameters()), materialize_grads=True)
        gradients.append(dict(zip(names, found, strict=True)))
    assert gradients[0].keys() == gradients[1].keys()
    assert max(gradient.abs().max() for gradient in gradients[0].values()) > 1e-4
    differences = [(gradients[0][name] - gradients[1][name]).abs().max().item() for name in gradients[0]]
    worst: float = max([abs(ours.item() - of_peer.item()), *differences])
    return worst


def test_every_model_has_a_peer() -> None:
    assert {*PEERS, "wgan-gp"} == set(MODELS)


@pytest.mark.parametrize(("model", "player"), PLAYERS)
def test_a_peer_has_our_losses_and_gradients(model: str, player: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert worst_difference(model, player, monkeypatch) < 1e-10


@pytest.mark.parametrize(("model", "player", "module", "name", "wrong"), WRONG)
def test_wrong_peers_have_not(
    model: str, player: str, module: Any, name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, wrong)
    assert worst_difference(model, player, monkeypatch) > 1e-4


def test_symbols_fed_back_in_place_of_rows_are_another_game(monkeypatch: pytest.MonkeyPatch) -> None:
    relaxed = lines.Lines.relaxed
    monkeypatch.setattr(lines.Lines, "relaxed", lambda peer, count, beta, soft: relaxed(peer, count, beta, not soft))
    assert worst_difference("gsgan", "generator", monkeypatch) > 1e-4


def test_a_peer_draws_and_completes_lines_by_our_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    _, networks = tiny("likelihood")
    ours = networks.generator
    assert isinstance(ours, LineModel)
    peer = lines.lines_like(ours)
    uniforms: list[Tensor] = []
    random = torch.Generator().manual_seed(4)

    def by_inverse(probabilities: Tensor, count: int) -> Tensor:
        assert count == 1
        uniforms.append(torch.rand(len(probabilities), generator=random, dtype=torch.float64))
        return pick(probabilities.log(), uniforms[-1]).unsqueeze(1)

    monkeypatch.setattr(torch, "multinomial", by_inverse)
    drawn = peer.draw(200)
    assert torch.equal(drawn, ours.draw(200, torch.Generator().manual_seed(4)))
    assert (drawn == 0).any()
    uniforms.clear()
    completed = peer.complete(drawn[:, :2])
    assert torch.equal(completed[:, :2], drawn[:, :2])
    logits = ours(completed)  # [200, 4, 5]
    for position in (2, 3):
        expected = pick(logits[:, position], uniforms[position - 2])
        assert torch.equal(completed[:, position], expected * (completed[:, position - 1] != 0))


def test_a_step_has_our_optimiser() -> None:
    settings, networks = tiny("likelihood")
    settings = replace(settings, max_gradient_norm=0.1)
    step = step_of([peer := lines.lines_like(networks.generator)], [line_games.likelihood], settings, CPU)
    trainer = make_trainer(settings, MODELS["likelihood"].phases(settings, networks), networks, CPU)
    for _ in range(3):
        step([real_lines()])
        trainer.step([real_lines()])
    for ours, theirs in zip(networks.generator.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_a_step_has_the_updates_of_both_players() -> None:
    weights = [nn.Linear(1, 1, bias=False, dtype=torch.float64) for _ in range(2)]
    updates: list[tuple[str, float, list[bool]]] = []

    def loss(player: str) -> Callable[..., Tensor]:
        def move(generator: nn.Module, critic: nn.Module, real: Tensor, settings: Any) -> Tensor:
            both = [*generator.parameters(), *critic.parameters()]
            updates.append((player, real.item(), [each.requires_grad for each in both]))
            return torch.stack([each.sum() for each in both]).sum()

        return move

    settings = SimpleNamespace(
        beta1=0.5, beta2=0.9, generator_lr=0.1, critic_lr=0.2, generator_steps=2, critic_steps=3, max_gradient_norm=None
    )
    before = [network.weight.item() for network in weights]
    step_of(weights, [loss("generator"), loss("critic")], settings, CPU)([torch.tensor([n]) for n in (7, 8, 9)])
    assert updates == [
        *(("generator", n, [True, False]) for n in (7, 8)), *(("critic", n, [False, True]) for n in (7, 8, 9))
    ]  # fmt: skip
    # Adam's steps along a constant gradient are as long as the rate.
    after = [network.weight.item() for network in weights]
    assert [b - a for a, b in zip(after, before, strict=True)] == pytest.approx([0.2, 0.6], rel=1e-6)


def test_a_transformer_has_no_peer() -> None:
    settings, _ = tiny("likelihood")
    settings = replace(settings, body="transformer", dim=4)
    networks = MODELS["likelihood"].networks(settings, SYMBOLS)
    with pytest.raises(InputError, match="--body transformer: the peer's language model is an LSTM; leave it out"):
        peer_step(settings, networks, CPU)
