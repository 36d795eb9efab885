"""Phases of a training, such as pretraining and adversarial training, as pure functions of the iteration."""

from collections.abc import Sequence
from dataclasses import dataclass

from textgan.engine.game import Game
from textgan.engine.schedules import Schedule, parse_schedule
from textgan.engine.settings import GanSettings, Settings
from textgan.engine.updates import ALTERNATING, Rule, parse_rule


@dataclass(frozen=True)
class TimeScale:
    """A player's time scale (Heusel et al. 2017, arXiv 1706.08500): learning rate, schedule, updates per iteration.

    `schedule(n)` is the factor of the rate at the player's update n = 0, 1, ... in the phase.
    """

    learning_rate: float
    schedule: Schedule
    steps: int = 1

    def rate(self, n: int) -> float:
        """Return the learning rate of update n."""
        return self.learning_rate * self.schedule(n)


@dataclass(frozen=True)
class Phase:
    """Some iterations of a game, with the time scale of each player; a player without one is not updated.

    `iterations` is None for a last phase that only the budget ends. `rule` turns gradients into new weights.
    """

    name: str
    game: Game
    generator: TimeScale | None
    critic: TimeScale | None
    iterations: int | None = None
    rule: Rule = ALTERNATING

    @property
    def scales(self) -> dict[str, TimeScale]:
        """The time scales of the players that are updated, by name and in the order of their updates."""
        both = {"generator": self.generator, "critic": self.critic}
        return {name: scale for name, scale in both.items() if scale is not None}

    @property
    def delay(self) -> int:
        """First iteration of the phase that updates the generator: 1 with two players, as published, else 0."""
        return 0 if self.critic is None else 1

    @property
    def batches(self) -> int:
        """Batches of real samples per iteration: one per update of the player with more updates."""
        return max(scale.steps for scale in self.scales.values())

    def rate_ratio(self, iteration: int) -> float | None:
        """Return a(n) / b(n), the rates of generator and critic, at an iteration; None if there is no ratio."""
        if self.generator is None or self.critic is None:
            return None
        rate = self.critic.rate(iteration * self.critic.steps)
        return self.generator.rate(iteration * self.generator.steps) / rate if rate else None

    def counters(self, iterations: int, batch_size: int) -> dict[str, int]:
        """Return each player's updates in the first iterations of the phase, and their gradients and real samples."""
        generator = 0 if self.generator is None else max(0, iterations - self.delay) * self.generator.steps
        critic = 0 if self.critic is None else iterations * self.critic.steps
        samples = iterations * self.batches * batch_size
        gradients = (generator + critic) * self.rule.evaluations
        updates = {"generator_updates": generator, "critic_updates": critic}
        return {**updates, "gradient_evaluations": gradients, "samples_seen": samples}


def phase_at(phases: Sequence[Phase], iteration: int) -> tuple[int, int]:
    """Return the index of the phase that an iteration belongs to, and the iteration's number in the phase."""
    for index, phase in enumerate(phases[:-1]):
        assert phase.iterations is not None
        if iteration < phase.iterations:
            return index, iteration
        iteration -= phase.iterations
    return len(phases) - 1, iteration


def counters_at(phases: Sequence[Phase], iteration: int, batch_size: int) -> dict[str, int]:
    """Return each player's updates before an iteration, and their gradient evaluations and real samples."""
    index, n = phase_at(phases, iteration)
    lengths = [*(phase.iterations or 0 for phase in phases[:index]), n]
    played = [phase.counters(length, batch_size) for phase, length in zip(phases, lengths, strict=False)]
    return {name: sum(counted[name] for counted in played) for name in played[0]}


def generator_scale(config: Settings, iterations: int | None, steps: int = 1) -> TimeScale:
    """Return the generator's time scale in a phase of this many iterations (None: no limit)."""
    updates = None if iterations is None else iterations * steps
    return TimeScale(config.generator_lr, parse_schedule(config.generator_schedule, updates), steps)


def critic_scale(config: GanSettings, iterations: int | None) -> TimeScale:
    """Return the critic's time scale in a phase of this many iterations (None: no limit)."""
    updates = None if iterations is None else iterations * config.critic_steps
    return TimeScale(config.critic_lr, parse_schedule(config.critic_schedule, updates), config.critic_steps)


def gan_phases(
    config: GanSettings, game: Game, before: Sequence[Phase] = (), warm_up: Game | None = None
) -> list[Phase]:
    """Return the phases of a GAN: phases before it, the critic's warm-up, if there is one, then both players.

    Args:
        config: time scales, update rule, and iterations of the warm-up.
        game: the game that both players play.
        before: phases before it.
        warm_up: the game of the critic's warm-up; None: the same game.
    """
    length = config.critic_warm_up
    alone = [Phase("critic warm-up", warm_up or game, None, critic_scale(config, length), length)] if length else []
    left = iterations_left(config, [*before, *alone])
    scales = generator_scale(config, left, config.generator_steps), critic_scale(config, left)
    return [*before, *alone, Phase("adversarial", game, *scales, left, parse_rule(config.rule))]


def iterations_left(config: Settings, before: Sequence[Phase]) -> int | None:
    """Return the iterations of a run's last phase; None: no limit."""
    if config.iterations is None:
        return None
    return max(1, config.iterations - sum(phase.iterations or 0 for phase in before))
