"""Play a game phase by phase: alternating updates of generator and critic, on their own time scales."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from textgan.engine.game import Move, Networks, Turn
from textgan.engine.phases import Phase, TimeScale, counters_at, phase_at
from textgan.engine.players import Player
from textgan.engine.seeds import stream_seed
from textgan.engine.settings import Settings


class NonFiniteError(Exception):
    """A loss, gradient or weight became infinite or NaN; the networks are no longer usable."""


class Trainer:
    """Two players of a game, or a generator alone, and the iteration, which is all the state beside them.

    All randomness of a step is a function of seed and iteration.
    """

    def __init__(
        self, phases: Sequence[Phase], generator: Player, critic: Player | None, config: Settings, device: torch.device
    ) -> None:
        self.phases = phases
        self.generator = generator
        self.critic = critic
        self.iteration = 0
        self._config = config
        self._device = device
        self._losses = torch.zeros((), device=device)

    @property
    def players(self) -> Mapping[str, Player]:
        """The players by the names used in logs and checkpoints."""
        return {"generator": self.generator} | ({} if self.critic is None else {"critic": self.critic})

    @property
    def counters(self) -> dict[str, int]:
        """Updates of each player so far, and real samples drawn for them."""
        return counters_at(self.phases, self.iteration, self._config.batch_size)

    def batches_of(self, iteration: int) -> range:
        """Return the numbers of the batches of real samples that an iteration takes."""
        first = counters_at(self.phases, iteration, batch_size=1)["samples_seen"]
        return range(first, first + self.phases[phase_at(self.phases, iteration)[0]].batches)

    def step(self, real_batches: Sequence[Tensor], measure: bool = True) -> dict[str, float] | None:
        """Take one training step on batches [B, ...] of real samples, one per update of the player with more updates.

        In a phase with two players the generator moves first, and waits at the phase's first iteration, as published.

        Args:
            real_batches: the batches.
            measure: whether to return the step's losses, further scalars of the moves, and Euclidean norms of gradients
                and updates over all weights of a player, from each player's last update. Reading them waits for the
                device.

        Raises:
            NonFiniteError: with `measure`, a loss, a gradient or a weight is infinite or NaN, now or earlier.
        """
        index, n = phase_at(self.phases, self.iteration)
        phase = self.phases[index]
        if n == 0 and self.iteration:
            for player in self.players.values():
                player.new_optimiser()
        random = torch.Generator(self._device).manual_seed(stream_seed(self._config.seed, "step", self.iteration))
        measured: dict[str, Tensor] = {}
        if phase.generator is not None and n >= phase.delay:
            turns = self._turns(phase, phase.generator, n - phase.delay, random)
            measured |= self._play("generator", phase.game.generator, phase.generator, turns, real_batches, measure)
        if phase.critic is not None:
            assert phase.game.critic is not None
            turns = self._turns(phase, phase.critic, n, random)
            measured |= self._play("critic", phase.game.critic, phase.critic, turns, real_batches, measure)
        stats = self._read(measured) if measure else None
        self.iteration += 1
        return stats

    def _turns(self, phase: Phase, scale: TimeScale, n: int, random: torch.Generator) -> list[Turn]:
        """Return a player's turns in iteration n of its updates."""
        of = None if phase.iterations is None else phase.iterations * scale.steps
        return [Turn(n * scale.steps + step, of, random) for step in range(scale.steps)]

    def _play(
        self,
        name: str,
        move: Move,
        scale: TimeScale,
        turns: Sequence[Turn],
        real_batches: Sequence[Tensor],
        measure: bool,
    ) -> dict[str, Tensor]:
        """Take a player's turns; return the scalars of the last one, by the names in the log."""
        player = self.players[name]
        networks = Networks(self.generator.network, None if self.critic is None else self.critic.network)
        for turn, real in zip(turns, real_batches, strict=False):
            scalars = dict(move(networks, real, turn))
            loss = scalars.pop("loss")
            gradients = player.gradients(loss)
            last = measure and turn is turns[-1]
            before = [weight.detach().clone() for weight in player.network.parameters()] if last else []
            player.apply(gradients, scale.rate(turn.n))
            self._losses += loss.detach()
        if not measure:
            return {}
        steps = [weight.detach() - old for weight, old in zip(player.network.parameters(), before, strict=True)]
        return {
            f"{name}_loss": loss.detach(),
            **{key: value.detach() for key, value in scalars.items()},
            f"{name}_gradient_norm": nn.utils.get_total_norm(gradients),
            f"{name}_update_norm": nn.utils.get_total_norm(steps),
        }

    def require_finite(self) -> None:
        """Check all losses so far and all weights.

        Raises:
            NonFiniteError: one is infinite or NaN.
        """
        self._read({})

    @torch.no_grad()
    def _read(self, measured: Mapping[str, Tensor]) -> dict[str, float]:
        """Copy scalars from the device in one transfer, after checking them, all losses so far, and all weights."""
        weights = {
            f"the {name}'s weights": nn.utils.get_total_norm(player.network.parameters())
            for name, player in self.players.items()
        }
        checked = {**measured, "an earlier loss": self._losses, **weights}
        values = dict(zip(checked, torch.stack([*checked.values()]).tolist(), strict=True))
        if wrong := [name for name, value in values.items() if not math.isfinite(value)]:
            raise NonFiniteError(f"iteration {self.iteration}: {', '.join(wrong)} not finite")
        return {name: values[name] for name in measured}


def make_trainer(config: Settings, phases: Sequence[Phase], networks: Networks, device: torch.device) -> Trainer:
    """Return the trainer of networks that hold the initial weights; the generator has an EMA if the run wants one."""
    generator = Player(networks.generator, config, device, config.generator_ema)
    critic = None if networks.critic is None else Player(networks.critic, config, device)
    return Trainer(phases, generator, critic, config, device)
