"""Play a game phase by phase: updates of generator and critic by a rule, on their own time scales."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from eval.core.device import arithmetic
from textgan.engine.game import Networks
from textgan.engine.phases import Phase, counters_at, phase_at
from textgan.engine.players import Player
from textgan.engine.processes import averaged, own_rows, shared
from textgan.engine.seeds import stream_seed
from textgan.engine.settings import Settings
from textgan.engine.updates import Gradients, Turn


class NonFiniteError(Exception):
    """A loss, gradient or weight became infinite or NaN; the networks are no longer usable."""


class Trainer:
    """Two players of a game, or a generator alone, the iteration, and the state of the update rule.

    All randomness of a step is a function of seed and iteration.

    Attributes:
        iteration: number of iterations done.
        state: tensors that the update rule keeps.
        finite_at: number of iterations after which all losses and weights were last known to be finite.
        source: the next steps' source of random numbers in place of `random`; None: no other source.
    """

    def __init__(
        self, phases: Sequence[Phase], generator: Player, critic: Player | None, config: Settings, device: torch.device
    ) -> None:
        self.phases = phases
        self.generator = generator
        self.critic = critic
        self.iteration = 0
        self.state: dict[str, Tensor] = {}
        self.device = device
        self.precision = config.training_precision
        self._config = config
        self._losses = torch.zeros((), device=device)
        self.source: torch.Generator | None = None
        self.finite_at = 0

    @property
    def players(self) -> Mapping[str, Player]:
        """The players by the names used in logs and checkpoints."""
        return {"generator": self.generator} | ({} if self.critic is None else {"critic": self.critic})

    @property
    def networks(self) -> Networks:
        """The networks of both players."""
        return Networks(self.generator.network, None if self.critic is None else self.critic.network)

    def random(self) -> torch.Generator:
        """Return the source of the random numbers of the present iteration."""
        return torch.Generator(self.device).manual_seed(stream_seed(self._config.seed, "step", self.iteration))

    @property
    def counters(self) -> dict[str, int]:
        """Updates of each player so far, and gradient evaluations and real samples for them."""
        return counters_at(self.phases, self.iteration, self._config.batch_size)

    def batches_of(self, iteration: int) -> range:
        """Return the numbers of the batches of real samples that an iteration takes."""
        first = counters_at(self.phases, iteration, batch_size=1)["samples_seen"]
        return range(first, first + self.phases[phase_at(self.phases, iteration)[0]].batches)

    def step(self, real_batches: Sequence[Tensor], measure: bool = True) -> dict[str, float] | None:
        """Take one training step on batches [B, ...] of real samples, one per update of the player with more updates.

        In a phase with two players the generator's turn is first, and waits at the phase's first iteration, as
        published; the phase's rule makes updates of the turns.

        Args:
            real_batches: the batches.
            measure: whether to return the step's losses, further scalars of the moves, and Euclidean norms of gradients
                and updates over all weights of a player, from each player's last turn. Reading them waits for the
                device; a step without `measure` reads nothing from it, and leaves its losses there.

        Raises:
            NonFiniteError: with `measure`, a loss, a gradient or a weight is infinite or NaN, now or earlier.
        """
        play = self.play(real_batches, measure)
        if play.iteration == 0 and self.iteration:
            self.state.clear()
            for player in self.players.values():
                player.new_optimiser()
        play.phase.rule.update(play)
        if not play.phase.rule.final:
            for turn in play.turns:
                self.players[turn.player].update_average()
        self._losses += play.losses
        stats = self._read(play.measured(), self.iteration + 1) if measure else None
        self.iteration += 1
        return stats

    def play(self, real_batches: Sequence[Tensor], measure: bool = False) -> "TrainerPlay":
        """Return the play of the present iteration, for an update rule; see `step`."""
        index, n = phase_at(self.phases, self.iteration)
        return TrainerPlay(self, self.phases[index], n, real_batches, measure)

    def require_finite(self) -> None:
        """Check all losses so far and all weights.

        Raises:
            NonFiniteError: one is infinite or NaN.
        """
        self._read({}, self.iteration)

    @torch.no_grad()
    def _read(self, measured: Mapping[str, Tensor], iterations: int) -> dict[str, float]:
        """Copy scalars from the device in one transfer, and check them, all losses so far, and all weights.

        The message of an error has the iterations since the last check, counted as in logs and checkpoints: iteration n
        ends with n iterations done.
        """
        weights = {
            f"the {name}'s weights": nn.utils.get_total_norm(player.network.parameters())
            for name, player in self.players.items()
        }
        checked = {**measured, "an earlier loss": self._losses, **weights}
        values = dict(zip(checked, torch.stack([*checked.values()]).tolist(), strict=True))
        if wrong := [name for name, value in values.items() if not math.isfinite(value)]:
            first = min(self.finite_at + 1, iterations)
            window = f"iteration {iterations}" if first == iterations else f"iterations {first} to {iterations}"
            raise NonFiniteError(f"{window}: {', '.join(wrong)} not finite")
        self.finite_at = iterations
        return {name: values[name] for name in measured}


class TrainerPlay:
    """One iteration of a trainer, as the update rules see it (`Play`).

    Attributes:
        phase: the phase that the iteration belongs to.
        losses: the sum of all losses that were evaluated.
    """

    def __init__(
        self, trainer: Trainer, phase: Phase, iteration: int, real_batches: Sequence[Tensor], measure: bool
    ) -> None:
        self.iteration = iteration
        self.players: Sequence[str] = list(phase.scales)
        self.state = trainer.state
        self.losses = torch.zeros((), device=trainer.device)
        self._trainer = trainer
        self.phase = phase
        self._random = trainer.source or trainer.random()
        self._real: dict[Turn, Tensor] = {}
        last: dict[str, Turn] = {}
        for name, scale in phase.scales.items():
            n = iteration - (phase.delay if name == "generator" else 0)
            of = None if phase.iterations is None else phase.iterations * scale.steps
            for step, real in zip(range(scale.steps if n >= 0 else 0), real_batches, strict=False):
                last[name] = Turn(name, n * scale.steps + step, of, self._random)
                self._real[last[name]] = own_rows(real)
        self.turns: Sequence[Turn] = list(self._real)
        self._measured_turns = set(last.values()) if measure else set()
        # A rule may move the weights before it asks for gradients.
        moved = last if measure and not phase.rule.final else ()
        self._before = {name: [weight.detach().clone() for weight in self.weights(name)] for name in moved}
        self._scalars: dict[str, dict[str, Tensor]] = {}
        self._random_states: dict[Turn, Tensor] = {}

    def gradients(self, turn: Turn, second_order: bool = False) -> Gradients:
        """Return the gradients of the player's loss at the present weights; with a graph if `second_order`."""
        name = turn.player
        # A second evaluation takes the random numbers of the first one.
        self._random.set_state(self._random_states.setdefault(turn, self._random.get_state()))
        game = self.phase.game
        move = game.generator if name == "generator" else game.critic
        assert move is not None
        with arithmetic(self._trainer.precision, self._trainer.device):
            scalars = dict(move(self._trainer.networks, self._real[turn], replace(turn, second_order=second_order)))
            loss = scalars.pop("loss")
            gradients = self._trainer.players[name].gradients(loss, second_order)
        loss, *means = averaged([loss, *scalars.values(), *gradients])
        scalars, gradients = dict(zip(scalars, means, strict=False)), means[len(scalars) :]
        self.losses += loss.detach()
        if turn in self._measured_turns:
            if name not in self._before:
                self._before[name] = [weight.detach().clone() for weight in self.weights(name)]
            norm = nn.utils.get_total_norm([gradient.detach() for gradient in gradients])
            measured = {f"{name}_loss": loss, **scalars, f"{name}_gradient_norm": norm}
            self._scalars[name] = {key: value.detach() for key, value in measured.items()}
        return gradients

    def apply(self, turn: Turn, gradients: Gradients) -> None:
        """Take a step of the player's optimiser."""
        player = self._trainer.players[turn.player]
        player.apply(gradients, self.phase.scales[turn.player].rate(turn.n))
        if self.phase.rule.final:
            player.update_average()

    def weights(self, player: str) -> list[nn.Parameter]:
        """Return a player's weights."""
        return list(self._trainer.players[player].network.parameters())

    def measured(self) -> dict[str, Tensor]:
        """Return the scalars of the last evaluation of each player's last turn, and the norm of the player's update."""
        measured: dict[str, Tensor] = {}
        for name, scalars in self._scalars.items():
            steps = [weight.detach() - old for weight, old in zip(self.weights(name), self._before[name], strict=True)]
            measured |= {**scalars, f"{name}_update_norm": nn.utils.get_total_norm(steps)}
        return measured


def make_trainer(config: Settings, phases: Sequence[Phase], networks: Networks, device: torch.device) -> Trainer:
    """Return the trainer of networks that hold the initial weights; the generator has an EMA if the run wants one."""
    generator = Player(shared(networks.generator, config, device), config, device, config.generator_ema)
    critic = None if networks.critic is None else Player(shared(networks.critic, config, device), config, device)
    return Trainer(phases, generator, critic, config, device)
