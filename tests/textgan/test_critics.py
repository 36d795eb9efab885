import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.models.critics import PrefixCritic, TextCnn

SYMBOLS, DIM, FILTERS = 5, 6, ((2, 3), (4, 2))
LINES = torch.tensor([[2, 3, 4, 1, 2, 2], [3, 1, 0, 0, 0, 0], [4, 4, 2, 3, 3, 1]])


def spread(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw weights of one size, biases among them, in double precision."""
    random = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=random, dtype=weight.dtype))
    return network


def a_cnn(representations: int = 1) -> TextCnn:
    cnn = spread(TextCnn(SYMBOLS, DIM, FILTERS, representations))
    assert isinstance(cnn, TextCnn)
    return cnn


def plain_features(cnn: TextCnn, rows: Tensor, part: int) -> list[float]:
    """Largest response per filter to a line of embedded rows [L, dim / S], window by window."""
    w, features = dict(cnn.named_parameters()), []
    width_of_part = DIM // cnn.representations
    own = rows[:, part * width_of_part : (part + 1) * width_of_part]
    for number, (width, count) in enumerate(FILTERS):
        for filter_ in range(count):
            kernel, bias = w[f"convolutions.{number}.weight"][filter_, 0], w[f"convolutions.{number}.bias"][filter_]
            windows = [own[start : start + width] for start in range(len(own) - width + 1)]
            features.append(max(0.0, *((kernel * window).sum().item() + bias.item() for window in windows)))
    return features


@pytest.mark.parametrize("representations", [1, 2, 3])
def test_a_text_cnn_scores_the_largest_responses_of_each_part_of_the_embedding(representations: int) -> None:
    cnn = a_cnn(representations)
    scores, features = cnn(LINES), cnn.features(LINES).view(len(LINES), representations, -1)
    for line, score, of_line in zip(LINES, scores, features, strict=True):
        rows = cnn.embedding.weight[line]
        plain = torch.tensor([plain_features(cnn, rows, part) for part in range(representations)], dtype=torch.float64)
        assert torch.allclose(of_line, plain, rtol=0, atol=1e-12)
        expected = (plain @ cnn.to_score.weight[0] + cnn.to_score.bias).mean()
        assert torch.allclose(score, expected, rtol=0, atol=1e-12)
    # Known to be wrong: parts that alternate along the embedding.
    if representations == 2:
        mixed = cnn.embedding.weight[LINES[0]][:, [0, 2, 4, 1, 3, 5]]
        assert abs(features[0, 0, 0].item() - plain_features(cnn, mixed, 0)[0]) > 1e-3


def test_ids_and_one_hot_rows_have_the_same_score_and_rows_between_them_a_gradient() -> None:
    cnn = a_cnn(2)
    assert torch.allclose(cnn(F.one_hot(LINES, SYMBOLS).double()), cnn(LINES), rtol=0, atol=1e-12)
    random = torch.Generator().manual_seed(1)
    rows = torch.randn(3, 6, SYMBOLS, generator=random, dtype=torch.float64).softmax(dim=-1).requires_grad_()
    (gradient,) = torch.autograd.grad(cnn(rows).sum(), rows)
    direction = torch.randn(rows.shape, generator=random, dtype=torch.float64)
    with torch.no_grad():
        difference = (cnn(rows + 1e-6 * direction) - cnn(rows - 1e-6 * direction)).sum() / 2e-6
    assert (gradient * direction).sum().item() == pytest.approx(difference.item(), rel=1e-6)


def test_lines_shorter_than_the_widest_filter_are_padded_by_zeros() -> None:
    cnn = a_cnn()
    short = LINES[:, :2]
    for line, of_line in zip(short, cnn.features(short), strict=True):
        rows = torch.cat([cnn.embedding.weight[line], torch.zeros(2, DIM, dtype=torch.float64)])
        assert of_line.tolist() == pytest.approx(plain_features(cnn, rows, 0), abs=1e-12)


def test_a_prefix_critic_scores_each_prefix_by_its_symbols_alone() -> None:
    critic = spread(PrefixCritic(SYMBOLS, DIM))
    w, scores = dict(critic.named_parameters()), critic(LINES)
    for line, of_line in zip(LINES.tolist(), scores, strict=True):
        h = c = torch.zeros(DIM, dtype=torch.float64)
        for symbol, score in zip(line, of_line, strict=True):
            gates = w["lstm.weight_ih_l0"] @ w["embedding.weight"][symbol] + w["lstm.bias_ih_l0"]
            gates = gates + w["lstm.weight_hh_l0"] @ h + w["lstm.bias_hh_l0"]
            i, f, g, o = gates.chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            scaled = (h - h.mean()) / ((h - h.mean()).square().mean() + 1e-5).sqrt()
            plain = w["to_score.weight"][0] @ (w["norm.weight"] * scaled + w["norm.bias"]) + w["to_score.bias"][0]
            assert torch.allclose(score, plain, rtol=0, atol=1e-12)
    changed = LINES.clone()
    changed[:, 3] = (changed[:, 3] + 1) % SYMBOLS
    moved = (critic(changed) - scores).abs() > 1e-9
    assert moved.tolist() == [[False] * 3 + [True] * 3] * len(LINES)
