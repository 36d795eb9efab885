import hashlib
import json
import math
import os
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from data.errors import InputError
from eval.core.device import arithmetic
from eval.images import inception, inception_weights
from eval.images.extractors.choice import metric_name, open_extractor
from eval.images.extractors.inception import inception_extractor, spatial_extractor
from eval.images.features import extract
from eval.images.inception import Inception, fold_batch_norms, resized
from eval.images.inception_weights import load_inception, published_weights, save_random_weights

# Features of pytorch-fid's InceptionV3 (block 3) in float64, with the weights of `seeded` and the images of `images`
# resized its way; computed with that program by others, not with this code.
FIRST_IMAGE_0_8 = [0.0, 0.44586388113412756, 0.12717933508282395, 0.4763100563734169, 0.6059186613608436,
                   0.016743727950923278, 0.0, 0.01944987916840087]  # fmt: skip
SECOND_IMAGE_2040_2048 = [1.1385042840241848, 1.3907884910151265, 0.35017247609774416, 0.35295891181670735, 0.0,
                          1.2430510834114437, 0.0, 0.03192319803974348]  # fmt: skip
SUMS = [584.2440132263491, 579.9539295260212]
NORMS = [21.829312032222184, 21.659969944851547]
# Of the 472 published names with their shapes, [[name, shape], ...] in sorted order as JSON.
NAMES_SHA256 = "579c09ebb0c6f0f4c9f0a51099479eb353aaee1969adaaf05fbc5cefaa1f987e"


def published(network: Inception) -> dict[str, Tensor]:
    state = network.state_dict()
    return {name: state[name] for name in sorted(state) if not name.endswith("num_batches_tracked")}


@pytest.fixture(scope="module")
def seeded() -> Inception:
    random = np.random.RandomState(0)
    network = Inception()
    for name, value in published(network).items():
        z = random.standard_normal(value.shape)
        if name.endswith("running_var"):
            drawn = 1 + 0.1 * np.abs(z)
        elif name.endswith("bn.weight"):
            drawn = 1 + 0.1 * z
        else:
            drawn = z * math.sqrt(2 / math.prod(z.shape[1:])) if z.ndim > 1 else 0.1 * z
        value.copy_(torch.from_numpy(drawn))
    return network


@pytest.fixture(scope="module")
def weights(seeded: Inception, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "seeded.pth"
    torch.save(published(seeded), path)
    return path


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.from_numpy(np.random.RandomState(1).randint(0, 256, (2, 3, 64, 64)).astype(np.uint8))


def error_of(features: Tensor) -> float:
    found = features.double().numpy()
    parts = [found[0, :8] - FIRST_IMAGE_0_8, found[1, -8:] - SECOND_IMAGE_2040_2048]
    return float(np.abs(np.concatenate(parts)).max())


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        names = [[name, list(value.shape)] for name, value in published(Inception()).items()]
    assert len(names) == 472
    assert hashlib.sha256(json.dumps(names).encode()).hexdigest() == NAMES_SHA256


def test_features_are_those_of_pytorch_fid(seeded: Inception, images: Tensor) -> None:
    found = deepcopy(seeded).double()(resized(images, "pytorch-fid", torch.float64))
    assert error_of(found) < 1e-12
    assert found.sum(1).tolist() == pytest.approx(SUMS, abs=1e-9)
    assert found.norm(dim=1).tolist() == pytest.approx(NORMS, abs=1e-10)
    single = seeded(resized(images, "pytorch-fid"))
    assert float((single - found).norm() / found.norm()) < 1e-5


def test_folded_batch_norms_change_rounding_alone(seeded: Inception, images: Tensor) -> None:
    x = resized(images[:1], "pytorch-fid", torch.float64)
    for network, pixels, most in ((deepcopy(seeded).double(), x, 1e-10), (deepcopy(seeded), x.float(), 1e-4)):
        expected = network(pixels)
        fold_batch_norms(network)
        assert not [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
        assert float((network(pixels) - expected).norm() / expected.norm()) < most
    for unit in [part for part in network.modules() if isinstance(part, inception.Unit)]:
        assert unit.conv.bias is not None
        unit.conv.bias.zero_()  # wrong: the scales alone
    assert float((network(pixels) - expected).norm() / expected.norm()) > 1e-2


def test_wrong_pools_and_wrong_resizing_give_other_features(
    seeded: Inception, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert error_of(seeded(resized(images, "tensorflow1"))) > 1e-3
    x = resized(images, "pytorch-fid")
    with monkeypatch.context() as patch:
        patch.setattr(inception, "_max_pool", inception._average_pool)
        assert error_of(seeded(x)) > 1e-2
    with monkeypatch.context() as patch:
        patch.setattr(inception, "_average_pool", lambda x: F.avg_pool2d(x, 3, 1, 1))
        assert error_of(seeded(x)) > 1e-3


def slow_tensorflow1(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """ResizeBilinear with align_corners and half_pixel_centers false, pixel by pixel; image [H, W]."""
    height, width = image.shape
    found = np.empty((299, 299))
    for i in range(299):
        top, down = divmod(i * height / 299, 1)
        rows = int(top), min(int(top) + 1, height - 1)
        for j in range(299):
            left, right = divmod(j * width / 299, 1)
            columns = int(left), min(int(left) + 1, width - 1)
            upper, lower = (image[row, columns[0]] * (1 - right) + image[row, columns[1]] * right for row in rows)
            found[i, j] = upper * (1 - down) + lower * down
    return (found - 128) / 128


@pytest.mark.parametrize("shape", [(7, 32), (400, 299)])
def test_tensorflow1_resizes_without_half_pixels(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (1, 3, *shape), np.uint8)
    found = resized(torch.from_numpy(image), "tensorflow1", torch.float64)[0].numpy()
    expected = slow_tensorflow1(image[0, 1])
    np.testing.assert_allclose(found[1], expected, atol=1e-12)
    single = resized(torch.from_numpy(image), "tensorflow1")[0, 1].numpy()
    np.testing.assert_allclose(single, expected, atol=2e-5)
    half_pixel = F.interpolate(torch.from_numpy(image).double(), (299, 299), mode="bilinear")[0, 1].numpy()
    assert np.abs((half_pixel - 128) / 128 - expected).max() > 0.1


def test_logits_are_without_the_bias(seeded: Inception) -> None:
    features = torch.rand(3, 2048, generator=torch.Generator().manual_seed(0))
    expected = features.double().numpy() @ seeded.fc.weight.double().numpy().T
    np.testing.assert_allclose(seeded.logits(features).numpy(), expected, atol=1e-4)
    assert np.abs(seeded.fc(features).numpy() - expected).max() > 0.1


def test_both_file_formats_give_the_same_network_and_hash(seeded: Inception, weights: Path, tmp_path: Path) -> None:
    state = published(seeded)
    counter = {"Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(5)}
    save_file({**state, **counter}, tmp_path / "seeded.safetensors")
    digest = hashlib.sha256(b"".join(name.encode() + value.numpy().tobytes() for name, value in state.items()))
    for path in (weights, tmp_path / "seeded.safetensors"):
        network, found = load_inception(path)
        assert found == f"inception-custom@{digest.hexdigest()[:12]}"
        assert all(torch.equal(value, state[name]) for name, value in published(network).items())


def test_the_extractor_of_fid(seeded: Inception, weights: Path, images: Tensor) -> None:
    extractor = inception_extractor(weights)
    assert extractor.signature == f"{load_inception(weights)[1]}/tensorflow1"
    expected = seeded(resized(images, "tensorflow1"))
    for batch_size in (1, 2):
        found = extract(images.numpy(), extractor, batch_size)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    other = inception_extractor(weights, "pytorch-fid")
    assert other.signature.endswith("/pytorch-fid")
    assert error_of(torch.from_numpy(extract(images.numpy(), other))) < 1e-5
    assert extractor.logits is not None
    np.testing.assert_allclose(extractor.logits(expected).numpy(), seeded.logits(expected).numpy(), atol=1e-5)


def test_the_extractor_of_sfid_is_the_start_of_a_block(seeded: Inception, weights: Path, images: Tensor) -> None:
    extractor = spatial_extractor(weights, "pytorch-fid")
    assert re.fullmatch(r"spatial-inception-custom@\w{12}/pytorch-fid", extractor.signature)
    assert (metric_name("fid", extractor.signature), metric_name("kid", extractor.signature)) == ("sfid", "kd-spatial")
    blocks: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            blocks[name] = output

        return hook

    names = ("Mixed_6c", "Mixed_6d", "Mixed_6e")
    handles = [getattr(seeded, name).register_forward_hook(keep(name)) for name in names]
    seeded(resized(images, "pytorch-fid"))
    for handle in handles:
        handle.remove()
    found = extract(images.numpy(), extractor)
    assert found.shape == (2, extractor.dims) == (2, 2023)
    # The block's first branch is its first channels; row by row, column by column, seven channels each.
    by_block = {
        name: np.array([[float(v) for row in maps[:7].permute(1, 2, 0) for v in row.flatten()] for maps in block])
        for name, block in blocks.items()
    }
    np.testing.assert_allclose(found, by_block["Mixed_6d"], atol=1e-4)
    for other in ("Mixed_6c", "Mixed_6e"):
        assert np.abs(found - by_block[other]).max() > 0.1


def test_less_precision_is_signed_and_near(weights: Path, images: Tensor) -> None:
    exact, rounded = inception_extractor(weights), inception_extractor(weights, precision="bf16")
    assert rounded.signature == f"{exact.signature}/bf16-cpu"
    features = [extract(images[:1].numpy(), each) for each in (exact, rounded)]
    error = np.linalg.norm(features[1] - features[0]) / np.linalg.norm(features[0])
    assert 1e-4 < error < 0.05  # bfloat16 has eight bits, and the network 94 convolutions
    with pytest.raises(InputError, match="--precision tf32: not on cpu; say float32 or bf16"):
        inception_extractor(weights, precision="tf32")


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("float32", (False, False, False)), ("tf32", (True, True, False)), ("bf16", (False, False, True))],
)
def test_arithmetic_is_what_was_asked_and_then_what_it_was(precision: Any, expected: tuple[bool, ...]) -> None:
    def used() -> tuple[bool, ...]:
        return (
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.allow_tf32,
            torch.is_autocast_enabled("cpu"),
        )

    before = used()
    assert before == (False, True, False)  # PyTorch's own, TF32 in convolutions
    with pytest.raises(KeyError), arithmetic(precision, torch.device("cpu")):
        assert used() == expected
        raise KeyError
    assert used() == before


def test_only_the_published_file_has_its_name(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, digest = open_extractor("inception", weights, "pytorch-fid", torch.device("cpu")).signature.split("@")
    assert name == "inception-custom"
    noted = "seeded.pth is not the published file; compare scores only if they use these weights"
    assert noted in capsys.readouterr().err
    monkeypatch.setattr(inception_weights, "SHA256", hashlib.sha256(weights.read_bytes()).hexdigest())
    published = open_extractor("inception", weights, "pytorch-fid", torch.device("cpu")).signature
    assert published == f"inception-2015-12-05@{digest}"
    assert capsys.readouterr().err == ""


class Harmful:
    """What a pickle could do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_no_code_in_a_file_is_run(tmp_path: Path) -> None:
    torch.save({"fc.bias": Harmful(tmp_path / "harm")}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: damaged or no weights"):
        load_inception(tmp_path / "w.pth")
    assert not (tmp_path / "harm").exists()


def test_damaged_files_are_refused(weights: Path, tmp_path: Path) -> None:
    path, whole = tmp_path / "w.pth", weights.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (b"", b"no weights", whole[:middle], flipped):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"w\.pth: damaged or no weights; fetch it again from https://"):
            load_inception(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="damaged or no weights"):
        load_inception(path)
    (tmp_path / "w.safetensors").write_bytes(whole[:1000])
    with pytest.raises(InputError, match=r"w\.safetensors: damaged or no weights"):
        load_inception(tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"nowhere\.pth: no such file"):
        load_inception(tmp_path / "nowhere.pth")


def test_other_weights_are_refused_by_name(seeded: Inception, tmp_path: Path) -> None:
    state = published(seeded)
    aux = {"AuxLogits.fc.bias": torch.zeros(1)}
    for wrong, message in (
        ({name: value for name, value in state.items() if name != "Mixed_6a.branch3x3.bn.bias"}, "6a.* is missing"),
        ({**state, **aux}, "weight AuxLogits.fc.bias does not belong there"),
        ({**state, "fc.weight": torch.zeros(1000, 2048)}, r"fc.weight is \[1000, 2048\], not \[1008, 2048\]"),
    ):
        save_file(wrong, tmp_path / "w.safetensors")
        with pytest.raises(InputError, match=message):
            load_inception(tmp_path / "w.safetensors")


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the release page."""
    path = tmp_path / "page" / "pt_inception.pth"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    monkeypatch.setattr(inception_weights, "URL", path.as_uri())
    monkeypatch.setattr(inception_weights, "SHA256", hashlib.sha256(b"weights").hexdigest())
    return path


def test_the_published_file_is_fetched_once(release: Path, cache: Path) -> None:
    path = published_weights()
    assert path == cache / "weights" / "pt_inception.pth"
    assert path.read_bytes() == b"weights"
    release.unlink()
    assert published_weights() == path
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be fetched"):
        published_weights()
    release.write_bytes(b"weights")
    assert published_weights().read_bytes() == b"weights"


def test_a_wrong_download_is_not_kept(release: Path, cache: Path) -> None:
    release.write_bytes(b"an error page")
    with pytest.raises(InputError, match="came damaged"):
        published_weights()
    assert list((cache / "weights").iterdir()) == []


def test_offline_says_what_to_do(release: Path, cache: Path) -> None:
    release.unlink()
    with pytest.raises(InputError) as caught:
        load_inception()
    for part in (release.as_uri(), str(cache / "weights" / "pt_inception.pth"), "--weights"):
        assert part in str(caught.value)


def test_the_published_name_ends_with_the_hash() -> None:
    assert inception_weights.URL.endswith(f"-{inception_weights.SHA256[:8]}.pth")


def test_random_weights_keep_the_scale_of_features(tmp_path: Path) -> None:
    path = tmp_path / "random.safetensors"
    save_random_weights(path)
    network, name = load_inception(path)
    assert name.startswith("inception-custom@")
    for part, value in network.state_dict().items():
        if value.dim() > 1:
            assert float(value.std()) == pytest.approx(math.sqrt(2 / math.prod(value.shape[1:])), rel=0.1)
        elif "bn" in part and value.dim():  # not the count of batches, which inference ignores
            assert value.unique().tolist() == [float("weight" in part or "var" in part)]
    pixels = resized(
        torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), np.uint8)), "tensorflow1"
    )
    with torch.no_grad():
        assert 1e-2 < float(network(pixels).square().mean()) < 1e2
        assert float(Inception()(pixels).square().mean()) < 1e-6  # wrong: PyTorch's own initial weights
