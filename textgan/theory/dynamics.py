"""Games on vectors, played by the trainer's update rules in double precision, many independent paths at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from textgan.engine.updates import Gradients, Rule, Turn

Weights = Mapping[str, Tensor]
Rate = Callable[[int], float | Tensor]
Step = Callable[[Tensor, Tensor, float | Tensor], None]


def descend(weights: Tensor, gradient: Tensor, rate: float | Tensor) -> None:
    """Take a step of gradient descent."""
    weights -= rate * gradient


def adam(weights: Tensor, beta1: float, beta2: float) -> Step:
    """Return Adam (Kingma & Ba 2015, arXiv 1412.6980) for weights of this shape."""
    unit = torch.zeros_like(weights)
    optimiser = torch.optim.Adam([unit], lr=1, betas=(beta1, beta2))

    def step(weights: Tensor, gradient: Tensor, rate: float | Tensor) -> None:
        unit.zero_().grad = gradient
        optimiser.step()
        weights += rate * unit

    return step


def constant(rate: float | Tensor) -> Rate:
    """Return a constant learning rate."""
    return lambda _n: rate


def power(rate: float, tau: float) -> Rate:
    """Return the decaying learning rate `rate` n^-tau of the n-th step, n = 1, 2, ..."""
    return lambda n: rate * (n + 1) ** -tau


@dataclass(frozen=True)
class Agent:
    """A player of a game on vectors.

    Attributes:
        weights: weights at the start [..., paths, dim], in double precision; the simulation moves them.
        gradient: the gradient of the player's loss by these weights, as a function of the weights of all players, and
            differentiable for the rules that need it.
        rate: learning rate at update n = 0, 1, ...; a tensor gives every path a rate of its own.
        noise: standard deviation of the normal noise on each component of the gradient.
        step: the optimiser.
    """

    weights: Tensor
    gradient: Callable[[Weights], Tensor]
    rate: Rate
    noise: float | Tensor = 0.0
    step: Step = descend


@dataclass
class VectorPlay:
    """One iteration of a game on vectors (`textgan.engine.updates.Play`), and the state between iterations."""

    agents: Mapping[str, Agent]
    random: torch.Generator
    iteration: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Let the rules differentiate by the weights."""
        self.players: Sequence[str] = list(self.agents)
        self._weights = {name: agent.weights.requires_grad_() for name, agent in self.agents.items()}
        self._noise: dict[str, Tensor] = {}
        self._begin()

    def _begin(self) -> None:
        self.turns: Sequence[Turn] = [Turn(name, self.iteration, None, self.random) for name in self.agents]
        self._noise.clear()

    def gradients(self, turn: Turn, second_order: bool = False) -> Gradients:
        """Return the gradient at the present weights, plus the same noise at each evaluation in an iteration."""
        agent = self.agents[turn.player]
        with torch.set_grad_enabled(second_order):
            gradient = agent.gradient(self._weights)
            if isinstance(agent.noise, Tensor) or agent.noise:
                if turn.player not in self._noise:
                    drawn = torch.randn(gradient.shape, generator=self.random, dtype=gradient.dtype)
                    self._noise[turn.player] = agent.noise * drawn
                return [gradient + self._noise[turn.player]]
            return [gradient.clone()]  # it may be another player's weights, which rules write to

    @torch.no_grad()
    def apply(self, turn: Turn, gradients: Gradients) -> None:
        """Take a step of the player's optimiser."""
        agent = self.agents[turn.player]
        agent.step(agent.weights, gradients[0], agent.rate(turn.n))

    def weights(self, player: str) -> Sequence[Tensor]:
        """Return a player's weights."""
        return [self._weights[player]]

    def next(self) -> None:
        """Go to the next iteration."""
        self.iteration += 1
        self._begin()


def simulate(agents: Mapping[str, Agent], rule: Rule, steps: int, seed: int = 0, every: int = 1) -> dict[str, Tensor]:
    """Play a game, and return the path of each player's weights [1 + steps // every, ..., paths, dim].

    Args:
        agents: the players by name, in the order of their moves.
        rule: the update rule.
        steps: number of iterations.
        seed: seed of the noise.
        every: iterations between the recorded points; the start is recorded too.
    """
    play = VectorPlay(agents, torch.Generator().manual_seed(seed))
    path = {name: [agent.weights.detach().clone()] for name, agent in agents.items()}
    for step in range(1, steps + 1):
        rule.update(play)
        play.next()
        if step % every == 0:
            for name, agent in agents.items():
                path[name].append(agent.weights.detach().clone())
    return {name: torch.stack(points) for name, points in path.items()}


def start(point: Sequence[float], *shape: int) -> Tensor:
    """Return a start for many paths [..., paths, dim]: the same point [dim] for all of `shape`."""
    return torch.tensor(point, dtype=torch.float64).repeat(*shape, 1)


def overflowed(path: Tensor) -> Tensor:
    """Return a path [points, ..., dim] that stays at infinity from its first overflow on, in place of NaN."""
    lost = ~path.isfinite().all(-1, keepdim=True)
    return path.masked_fill(lost.cumsum(0) > 0, torch.inf)


def first_step(events: Tensor) -> Tensor:
    """Return the number of the first point at which an event happens [points, ...], infinity if there is none."""
    return torch.where(events.any(0), events.byte().argmax(0).double(), torch.inf)
