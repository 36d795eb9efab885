import pytest
import torch

from data.errors import InputError
from tests.helpers.lines import a_line_model
from tests.helpers.runs import PRESETS, config_of
from tests.helpers.small_oracle import an_oracle, divergences, learner, train_to
from textgan.engine.game import Networks
from textgan.engine.updates import Turn
from textgan.models.likelihood import likelihood

TURN = Turn("generator", 0, None, torch.Generator())


def test_the_loss_is_the_mean_over_symbols_and_ends_of_lines() -> None:
    model = a_line_model(4, 3)
    ids = torch.tensor([[2, 3, 1], [3, 0, 0], [0, 0, 0]])
    logits = model(ids).log_softmax(dim=-1)
    of_symbols = [logits[0, 0, 2], logits[0, 1, 3], logits[0, 2, 1], logits[1, 0, 3], logits[1, 1, 0], logits[2, 0, 0]]
    loss = likelihood(Networks(model), ids, TURN)["loss"]
    assert loss.item() == pytest.approx(-torch.stack(of_symbols).mean().item(), abs=1e-12)
    # Known to be wrong: padding after the end counts.
    assert abs(loss.item() + logits.gather(-1, ids.unsqueeze(-1)).mean().item()) > 1e-3


@pytest.mark.parametrize("body", ["lstm", "transformer"])
def test_it_learns_an_oracle(body: str) -> None:
    oracle = an_oracle(0)
    trainer, lines = learner(PRESETS["mle-words"], oracle, body=body, generator_lr=1e-2)
    start = divergences(trainer.generator.network, oracle)
    train_to(trainer, lines, 60)
    assert divergences(trainer.generator.network, oracle).kl < 0.4 * start.kl


def test_wrong_sizes_and_flags_of_a_critic_are_refused() -> None:
    for flags, message in (
        (["--body", "transformer", "--dim", "6"], "--dim 6: not a multiple of the transformer's 4 heads"),
        (["--layers", "0"], "--layers 0: must be at least 1"),
        (["--critic-lr", "1e-3"], "--critic-lr: not a setting of likelihood, the model of --preset mle-words"),
    ):
        with pytest.raises(InputError) as error:
            config_of(["--preset", "mle-words", *flags])
        assert str(error.value).startswith(message)
    assert config_of(["--preset=mle-words", "--body=transformer", "--dim=8"]).dim == 8
