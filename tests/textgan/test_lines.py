import math
from collections import Counter

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.helpers.lines import a_line_model, all_lines, counts_of, require_counts
from textgan.models.bodies import BodyName
from textgan.models.lines import LineModel, exclude, in_line, pick

BODIES = [("lstm", 1), ("lstm", 2), ("transformer", 1), ("transformer", 2)]
SYMBOLS, LENGTH = 4, 3
LINES = all_lines(SYMBOLS, LENGTH)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(count: int, random: torch.Generator | None = None) -> Tensor:
    return torch.rand(count, generator=random or seeded(), dtype=torch.float64)


def chance_of(model: LineModel, **options: float) -> Tensor:
    """Probabilities of all lines, symbol by symbol, without masks: a line stops at its first 0."""
    with torch.no_grad():
        chances = []
        for line in LINES:
            logits, chance = model(line[None])[0], 1.0
            for symbol, row in zip(line.tolist(), logits, strict=True):
                chance *= distribution(row, **options)[symbol].item()
                if symbol == 0:
                    break
            chances.append(chance)
    return torch.tensor(chances, dtype=torch.float64)


def distribution(logits: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    """Softmax of logits [V] over the temperature, cut to the fewest symbols whose share reaches `top_p`."""
    chances = [math.exp(logit / temperature) for logit in logits.tolist()]
    total, kept, reached = sum(chances), [0.0] * len(chances), 0.0
    for symbol in sorted(range(len(chances)), key=lambda symbol: -chances[symbol]):
        if reached < top_p * total or top_p == 1:
            kept[symbol] = chances[symbol]
        reached += chances[symbol]
    return torch.tensor(kept, dtype=torch.float64) / sum(kept)


# --- probabilities


@pytest.mark.parametrize(("body", "layers"), BODIES)
def test_probabilities_of_all_lines_sum_to_one(body: BodyName, layers: int) -> None:
    model = a_line_model(SYMBOLS, LENGTH, body, layers)
    log_probs = model.log_probs(LINES)
    ours = log_probs.sum(dim=1).exp()
    assert ours.sum().item() == pytest.approx(1, abs=1e-12)
    assert torch.allclose(ours, chance_of(model), rtol=1e-10, atol=0)
    # Known to be wrong: without the end of a line, or with the padding after it.
    every = model(LINES).log_softmax(dim=-1).gather(-1, LINES.unsqueeze(-1)).squeeze(-1)
    for mask in (LINES != 0, torch.ones_like(LINES, dtype=torch.bool)):
        assert abs((every * mask).sum(dim=1).exp().sum().item() - 1) > 1e-3


def test_a_temperature_divides_the_logits() -> None:
    model = a_line_model(SYMBOLS, LENGTH)
    ours = model.log_probs(LINES, temperature=0.6).sum(dim=1).exp()
    assert torch.allclose(ours, chance_of(model, temperature=0.6), rtol=1e-10, atol=0)
    assert not torch.allclose(ours, chance_of(model), rtol=0.1, atol=0)


def test_lines_end_with_the_first_padding() -> None:
    ids = torch.tensor([[0, 0, 0], [2, 0, 0], [2, 3, 0], [2, 3, 1]])
    assert in_line(ids).long().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(("body", "layers"), BODIES)
def test_more_padding_changes_no_probability(body: BodyName, layers: int) -> None:
    model = a_line_model(SYMBOLS, 6, body, layers)
    ended = LINES[(LINES == 0).any(dim=1)]
    padded = F.pad(ended, (0, 3))
    assert torch.allclose(model.log_probs(ended).sum(dim=1), model.log_probs(padded).sum(dim=1), rtol=0, atol=1e-12)


def test_a_model_of_lines_without_unknown_symbols_gives_them_no_probability() -> None:
    model = a_line_model(SYMBOLS, LENGTH)
    exclude(model, [1])
    chances = model.log_probs(LINES).sum(dim=1).exp()
    assert chances[((LINES == 1) & in_line(LINES)).any(dim=1)].max() == 0
    assert chances.sum().item() == pytest.approx(1, abs=1e-12)
    assert (model.draw(2000, seeded()) != 1).all()


# --- bodies


def plain_lstm(model: LineModel, ids: list[int]) -> Tensor:
    """Logits of the symbol after some others, by the equations of an LSTM."""
    w = dict(model.named_parameters())
    layers = sum(name.startswith("body.lstm.weight_ih") for name in w)
    inputs = [w["embedding.weight"][symbol] for symbol in [model.vocabulary_size, *ids]]
    for layer in range(layers):
        h = c = torch.zeros_like(inputs[0])
        outputs = []
        for x in inputs:
            gates = w[f"body.lstm.weight_ih_l{layer}"] @ x + w[f"body.lstm.bias_ih_l{layer}"]
            gates = gates + w[f"body.lstm.weight_hh_l{layer}"] @ h + w[f"body.lstm.bias_hh_l{layer}"]
            i, f, g, o = gates.chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        inputs = outputs
    return w["to_symbols.weight"] @ inputs[-1] + w["to_symbols.bias"]


def plain_transformer(model: LineModel, ids: list[int], heads: int = 4) -> Tensor:
    """Logits of the symbol after some others, head by head and position by position."""
    w = dict(model.named_parameters())
    layers = sum(name.startswith("body.projections") and name.endswith("weight") for name in w)

    def linear(name: str, x: Tensor) -> Tensor:
        return w[f"body.{name}.weight"] @ x + w[f"body.{name}.bias"]

    def norm(number: int, x: Tensor) -> Tensor:
        scaled = (x - x.mean()) / ((x - x.mean()).square().mean() + 1e-5).sqrt()
        return w[f"body.norms.{number}.weight"] * scaled + w[f"body.norms.{number}.bias"]

    symbols = [model.vocabulary_size, *ids]
    rows = [w["embedding.weight"][symbol] + w["body.positions.weight"][t] for t, symbol in enumerate(symbols)]
    for layer in range(layers):
        parts = [linear(f"projections.{layer}", norm(2 * layer, row)).chunk(3) for row in rows]
        mixed = []
        for t, (query, _, _) in enumerate(parts):
            by_head = []
            for head in range(heads):
                own = slice(head * len(query) // heads, (head + 1) * len(query) // heads)
                scores = torch.stack([query[own] @ parts[s][1][own] for s in range(t + 1)]) / len(query[own]) ** 0.5
                shares = scores.exp() / scores.exp().sum()
                by_head.append(sum(shares[s] * parts[s][2][own] for s in range(t + 1)))
            mixed.append(torch.cat(by_head))
        rows = [row + linear(f"mixers.{layer}", part) for row, part in zip(rows, mixed, strict=True)]
        wide = [linear(f"wideners.{layer}", norm(2 * layer + 1, row)) for row in rows]
        active = [0.5 * x * (1 + torch.erf(x / math.sqrt(2))) for x in wide]
        rows = [row + linear(f"narrowers.{layer}", x) for row, x in zip(rows, active, strict=True)]
    last = norm(2 * layers, rows[-1])
    return w["to_symbols.weight"] @ last + w["to_symbols.bias"]


@pytest.mark.parametrize(("body", "layers"), BODIES)
def test_logits_are_those_of_an_lstm_or_transformer_that_sees_the_past_alone(body: BodyName, layers: int) -> None:
    model = a_line_model(SYMBOLS, 5, body, layers)
    ids = torch.tensor([[2, 3, 1, 2, 2], [3, 1, 0, 0, 0]])
    plain = plain_lstm if body == "lstm" else plain_transformer
    for line, logits in zip(ids.tolist(), model(ids), strict=True):
        for t in range(5):
            assert torch.allclose(logits[t], plain(model, line[:t]), rtol=0, atol=1e-10)
            # Known to be wrong: the position itself is seen.
            assert t == 4 or not torch.allclose(logits[t], plain(model, line[: t + 1]), atol=1e-3)


# --- draws


def test_ids_are_picked_by_their_probabilities_and_never_without_any() -> None:
    logits = torch.tensor([[0.0, -math.inf, 1.0, -1e4, 2.0, -math.inf], [-math.inf, 3.0, 0.0, 0.5, -math.inf, -1e4]])
    ids = pick(logits.repeat(20_000, 1), uniform(40_000)).view(20_000, 2)
    for column, row in zip(ids.T, logits, strict=True):
        require_counts(torch.bincount(column, minlength=6), row.double().softmax(dim=0))
    assert (pick(torch.randn(1000, 7, generator=seeded()), uniform(1000)) < 7).all()


@pytest.mark.parametrize(("end", "expected"), [(0.0, [1, 0]), (1 - 2**-53, [3, 2])])
def test_the_ends_of_the_unit_interval_pick_the_first_and_the_last_possible_id(end: float, expected: list[int]) -> None:
    logits = torch.tensor([[-math.inf, 0.0, 0.0, 0.3], [0.1, 0.2, 0.3, -1e4]])
    assert pick(logits, torch.full((2,), end, dtype=torch.float64)).tolist() == expected
    # Rows of single precision whose sum is below and above 1.
    rows = torch.randn(300, 999, generator=seeded())
    sums = rows.softmax(dim=-1).double().sum(dim=-1)
    assert sums.min() < 1 < sums.max()
    ends = torch.full((300,), end, dtype=torch.float64)
    assert set(pick(rows, ends).tolist()) == ({0} if end == 0 else {998})
    # Known to be wrong: the total of each row taken for 1, or an id of probability 0 at the start of the interval.
    cumulated = rows.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    without_total = torch.searchsorted(cumulated, ends.unsqueeze(1), right=True)
    assert (without_total == 999).any().item() == (end > 0)
    cumulated = logits.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    from_left = torch.searchsorted(cumulated, end * cumulated[:, -1:]).flatten().tolist()
    assert (from_left != expected) == (end == 0)


@pytest.mark.parametrize(("body", "layers"), BODIES)
def test_a_draw_picks_from_the_logits_of_the_line_so_far(body: BodyName, layers: int) -> None:
    model = a_line_model(SYMBOLS, 6, body, layers)
    drawn, random = model.draw(50, seeded(3)), seeded(3)
    ids = torch.zeros(50, 6, dtype=torch.long)
    for t in range(6):
        ids[:, t] = pick(model(ids)[:, t], uniform(50, random))
        ids *= in_line(ids)
    assert torch.equal(drawn, ids)
    assert (drawn == 0).any()
    assert torch.equal(model.sample(50, seeded(3)), drawn)


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.5}, {"temperature": 2.0}, {"top_p": 0.7}, {"temperature": 1.5, "top_p": 0.6}]
)
def test_draws_follow_the_probabilities_at_any_temperature_and_nucleus(options: dict[str, float]) -> None:
    model = a_line_model(SYMBOLS, LENGTH, seed=2)
    chance = chance_of(model, **options)
    assert chance.sum().item() == pytest.approx(1, abs=1e-12)
    counts = counts_of(model.float().draw(20_000, seeded(1), **options), LINES)
    require_counts(counts, chance)
    with pytest.raises(AssertionError):
        require_counts(counts, chance_of(model.double(), temperature=options.get("temperature", 1.0) * 1.5))


# --- rollouts


@pytest.mark.parametrize(("body", "layers"), BODIES)
def test_rollouts_keep_their_prefix_and_ended_lines(body: BodyName, layers: int) -> None:
    model = a_line_model(SYMBOLS, 5, body, layers)
    ids = torch.tensor([[2, 3, 1, 2, 2], [3, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    completed = model.rollouts(ids, 40, seeded())
    assert completed.shape == (4, 40, 3, 5)
    for t in range(1, 5):
        assert (completed[t - 1, :, :, :t] == ids[:, :t]).all()
        ended = in_line(ids)[:, t] == 0
        assert (completed[t - 1][:, ended] == ids[ended]).all()
        assert not (completed[t - 1][:, 0] == ids[0]).all()
    assert (completed == completed * in_line(completed)).all()
    # The last prefix lacks one symbol.
    assert (model.rollouts(ids, 1, seeded())[-1, 0, :, :-1] == ids[:, :-1]).all()


@pytest.mark.parametrize(("body", "layers"), [("lstm", 2), ("transformer", 1)])
def test_rollouts_are_independent_draws_given_their_prefix(body: BodyName, layers: int) -> None:
    model = a_line_model(SYMBOLS, LENGTH, body, layers)
    chance = chance_of(model)
    ids = torch.tensor([[3, 1, 2], [2, 3, 0]])
    completed = model.float().rollouts(ids.repeat(4000, 1), 2, seeded()).view(2, 2, 4000, 2, LENGTH)
    for t in (1, 2):
        for number, line in enumerate(ids):
            given = chance * (LINES[:, :t] == line[:t]).all(dim=1)
            given = given / given.sum()
            first, second = completed[t - 1, :, :, number]
            counts = counts_of(torch.cat([first, second]), LINES)
            require_counts(counts, given)
            pairs = Counter(zip(map(tuple, first.tolist()), map(tuple, second.tolist()), strict=True))
            of_pairs = [[pairs[tuple(a), tuple(b)] for b in LINES.tolist()] for a in LINES.tolist()]
            require_counts(torch.tensor(of_pairs).flatten(), torch.outer(given, given).flatten())


# --- relaxed draws


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("body", "layers"), [("lstm", 1), ("transformer", 2)])
def test_relaxed_rows_tend_to_one_hot_rows_of_draws(body: BodyName, layers: int, soft: bool) -> None:
    model = a_line_model(SYMBOLS, LENGTH, body, layers)
    chance = chance_of(model)
    with torch.no_grad():
        rows = model.float().relaxed(20_000, seeded(1), 1e5, soft)
    ids = rows.argmax(dim=-1)
    clear = rows.amax(dim=-1) > 0.999
    assert clear.float().mean() > 0.999
    assert torch.allclose(rows[clear], F.one_hot(ids, SYMBOLS).float()[clear], atol=1e-3)
    require_counts(counts_of(ids, LINES), chance)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("body", "layers"), [("lstm", 1), ("transformer", 2)])
def test_relaxed_rows_are_softmax_rows_fed_back(body: BodyName, layers: int, soft: bool) -> None:
    model, beta, random = a_line_model(SYMBOLS, LENGTH, body, layers), 1.7, seeded(4)
    rows = model.relaxed(30, seeded(4), beta, soft)
    embedded = [model.embedding.weight[-1].expand(30, -1)]
    alive = torch.ones(30, 1, dtype=torch.bool)
    for t in range(LENGTH):
        logits = model.to_symbols(model.body(torch.stack(embedded, dim=1), None)[0][:, -1])
        noise = -torch.log(-torch.log(torch.rand(30, SYMBOLS, generator=random, dtype=torch.float64)))
        expected = torch.exp(beta * (logits + noise))
        expected = torch.where(alive, expected / expected.sum(dim=1, keepdim=True), torch.eye(SYMBOLS).double()[0])
        assert torch.allclose(rows[:, t], expected, rtol=0, atol=1e-12)
        symbols = expected.argmax(dim=1)
        alive = alive & (symbols != 0).unsqueeze(1)
        embedded.append(expected @ model.embedding.weight[:-1] if soft else model.embedding.weight[symbols])
