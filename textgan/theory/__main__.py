"""Theory of training with two time-scales, one experiment per name; each prints a table and draws a figure.

python -m textgan.theory saddle
python -m textgan.theory bilinear --output bilinear.svg
"""

from difflib import get_close_matches
from importlib import import_module

from data.command import as_typed, run_command
from data.errors import InputError

EXPERIMENTS = {
    "saddle": "two learning rates on a saddle, as on the paper's poster",
    "timescale": "a linear game that converges only if the fast player is fast enough",
    "dirac": "DiracGAN with R1: the best ratio of the rates",
    "bilinear": "all update rules on min max xy, beside their closed forms",
    "heavyball": "Adam as a heavy ball with friction",
    "games": "many players: player sampling, variance reduction, cyclic sampling",
    "network-flow": "flows and prices on one time scale",
    "ring": "a GAN on a mixture of eight Gaussians under each update rule",
    "estimators": "bias and variance of the gradient estimators of sequence GANs",
}
"""One-line description of each experiment; its module has the same name."""


def main(arguments: list[str]) -> int:
    """Run the experiment named by the first argument, and return its exit status.

    Raises:
        InputError: there is no experiment of this name.
    """
    name, *flags = arguments or [""]
    if name in EXPERIMENTS:
        status: int = import_module(f"textgan.theory.{name.replace('-', '_')}").main(flags)
        return status
    listed = "\n".join(f"  {experiment:14} {description}" for experiment, description in EXPERIMENTS.items())
    if name in ("--help", "-h"):
        print(f"usage: {as_typed('textgan.theory')} NAME [FLAGS]; every experiment has --help\n\n{listed}")
        return 0
    similar = get_close_matches(name, EXPERIMENTS, 1)
    hint = f"did you mean {similar[0]}?" if similar else f"choose {', '.join(EXPERIMENTS)}"
    raise InputError(f"{name}: no experiment; {hint}" if name else f"no experiment named; {hint}")


if __name__ == "__main__":
    run_command(main)
