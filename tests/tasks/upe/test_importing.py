"""Published weights: our enhancer against independent forwards that use the published names, orders and conventions.

The weights are random, with exactly the names and shapes of the published files.
"""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from hdr.errors import UserError
from tasks.upe.importing import import_weights, read_weights
from tasks.upe.model import Enhancer

State = dict[str, torch.Tensor]


def _fill(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(shape, generator=generator)
        elif len(shape) > 1:
            fan_in = int(np.prod(shape[:-1])) if "/" in name else int(np.prod(shape[1:]))
            state[name] = torch.randn(shape, generator=generator) * (1.4 / fan_in**0.5)
        else:
            state[name] = 0.3 * torch.randn(shape, generator=generator) + (1.0 if "bn.weight" in name else 0.0)
    return state


def _tame(state: State, weight: str, bias: str) -> None:
    """Bring the illumination into the range that the published networks give, about 0.1 to 1.5."""
    state[weight], state[bias] = 0.1 * state[weight], 0.25 + 0.5 * state[bias]


def _picture(*shape: int, seed: int = 5) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# Names and shapes -----------------------------------------------------------------------------------------------------


def _norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in vectors} | {f"{name}.num_batches_tracked": ()}


def _conv(name: str, inputs: int, outputs: int, size: int = 3, bias: bool = True) -> dict[str, tuple[int, ...]]:
    return {f"{name}.conv.weight": (outputs, inputs, size, size)} | ({f"{name}.conv.bias": (outputs,)} if bias else {})


def _torch_shapes(grid_size: int, batch_norm: bool) -> dict[str, tuple[int, ...]]:
    """Of github.com/hermosayhl/DeepUPE_pytorch (8, batch norm) and github.com/creotiv/hdrnet-pytorch (16, none)."""
    shapes: dict[str, tuple[int, ...]] = {}
    widths = [3, 8, 16, 32, 64, 128][: 6 if grid_size == 8 else 5]
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        shapes |= _conv(f"coeffs.splat_features.{layer}", inputs, outputs)
        if batch_norm and layer > 0:
            shapes |= _norm(f"coeffs.splat_features.{layer}.bn", outputs)
    for layer in range(1 if grid_size == 8 else 2):
        shapes |= _conv(f"coeffs.global_features_conv.{layer}", widths[-1] if layer == 0 else 64, 64)
        if batch_norm:
            shapes |= _norm(f"coeffs.global_features_conv.{layer}.bn", 64)
    for layer, (inputs, outputs) in enumerate([(1024, 256), (256, 128), (128, 64)]):
        shapes |= {f"coeffs.global_features_fc.{layer}.fc.weight": (outputs, inputs)}
        shapes |= {f"coeffs.global_features_fc.{layer}.fc.bias": (outputs,)}
        if batch_norm:
            shapes |= _norm(f"coeffs.global_features_fc.{layer}.bn", outputs)
    shapes |= _conv("coeffs.local_features.0", widths[-1], 64)
    if batch_norm:
        shapes |= _norm("coeffs.local_features.0.bn", 64)
    shapes |= _conv("coeffs.local_features.1", 64, 64, bias=False)
    shapes |= _conv("coeffs.conv_out", 64, 96, size=1)
    shapes |= _conv("guide.conv1", 3, 16, size=1) | _norm("guide.conv1.bn", 16) | _conv("guide.conv2", 16, 1, size=1)
    return shapes


def _tensorflow_shapes() -> dict[str, tuple[int, ...]]:
    """Of github.com/dvlab-research/DeepUPE: kernels are (height, width, in, out), matrices (in, out)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, inputs: int, outputs: int, size: int = 3, bias: bool = True) -> None:
        shapes[f"inference/coefficients/{name}/weights"] = (size, size, inputs, outputs)
        if bias:
            shapes[f"inference/coefficients/{name}/biases"] = (outputs,)

    for layer, (inputs, outputs) in enumerate([(3, 8), (8, 16), (16, 32), (32, 64)], start=1):
        conv(f"splat/conv{layer}", inputs, outputs)
    for layer in range(1, 13):
        conv(f"global/conv{layer}", 64, 64)
    for layer, (inputs, outputs) in enumerate([(1024, 256), (256, 128), (128, 64)], start=1):
        shapes[f"inference/coefficients/global/fc{layer}/weights"] = (inputs, outputs)
        shapes[f"inference/coefficients/global/fc{layer}/biases"] = (outputs,)
    for layer in range(1, 7):
        conv(f"local/conv{layer}", 64, 64, bias=layer == 1)
    conv("prediction/conv1", 64, 96, size=1)
    shapes |= {"inference/guide/ccm": (3, 3), "inference/guide/ccm_bias": (3,)}
    shapes |= {"inference/guide/shifts": (1, 1, 3, 16), "inference/guide/slopes": (1, 1, 1, 3, 16)}
    mixing = "inference/guide/channel_mixing"
    return shapes | {f"{mixing}/weights": (1, 1, 3, 1), f"{mixing}/biases": (1,)}


def test_the_lists_of_names_are_complete() -> None:
    seed = _fill(_torch_shapes(8, batch_norm=True))
    buffers = sum(tensor.numel() for name, tensor in seed.items() if "running" in name or "tracked" in name)
    assert buffers == 1674
    assert sum(tensor.numel() for tensor in seed.values()) - buffers == 594_369
    assert sum(int(np.prod(shape)) for shape in _tensorflow_shapes().values()) == 998_816


# The PyTorch reimplementations ----------------------------------------------------------------------------------------


def _normalised(state: State, name: str, features: torch.Tensor) -> torch.Tensor:
    if f"{name}.weight" not in state:
        return features
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(features, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"])


def _block(state: State, name: str, features: torch.Tensor, stride: int = 1) -> torch.Tensor:
    weight = state[f"{name}.conv.weight"]
    features = F.conv2d(features, weight, state.get(f"{name}.conv.bias"), stride, padding=weight.shape[-1] // 2)
    return _normalised(state, f"{name}.bn", features)


def _torch_network(state: State, thumbnail: torch.Tensor) -> torch.Tensor:
    """The 96 channels of the last convolution."""
    splat = thumbnail
    for layer in range(sum(name.endswith("conv.weight") and "splat" in name for name in state)):
        splat = _block(state, f"coeffs.splat_features.{layer}", splat, 2).relu()
    features = splat
    for layer in range(sum(name.endswith("conv.weight") and "global" in name for name in state)):
        features = _block(state, f"coeffs.global_features_conv.{layer}", features, 2).relu()
    features = features.flatten(1)
    for layer in range(3):
        name = f"coeffs.global_features_fc.{layer}"
        features = F.linear(features, state[f"{name}.fc.weight"], state[f"{name}.fc.bias"])
        features = _normalised(state, f"{name}.bn", features)
        features = features.relu() if layer < 2 else features
    local = _block(state, "coeffs.local_features.0", splat).relu()
    local = _block(state, "coeffs.local_features.1", local)
    return _block(state, "coeffs.conv_out", (local + features[:, :, None, None]).relu())


def _seed_forward(state: State, bgr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(illumination, result) of github.com/hermosayhl/DeepUPE_pytorch, in float64 and BGR."""
    state = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    bgr = bgr.double()
    thumbnail = F.interpolate(bgr, (256, 256), mode="bilinear", align_corners=False)
    grid = _torch_network(state, thumbnail).view(-1, 12, 8, 8, 8)
    guide = torch.tanh(_block(state, "guide.conv2", _block(state, "guide.conv1", bgr).relu()))
    count, _, height, width = guide.shape
    y = torch.linspace(-1, 1, height, dtype=torch.float64)[None, :, None].expand(count, height, width)
    x = torch.linspace(-1, 1, width, dtype=torch.float64)[None, None].expand(count, height, width)
    place = torch.stack([x, y, guide[:, 0]], dim=-1)[:, None]
    rows = F.grid_sample(grid, place, align_corners=True)[:, :, 0].unflatten(1, (3, 4))
    illumination = (rows[:, :, :3] * bgr[:, None]).sum(2) + rows[:, :, 3]
    return illumination, (bgr / (illumination + 1e-4)).clamp(0, 1)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_seed_weights_run_in_rgb_as_the_original_in_bgr(tmp_path: Path, suffix: str) -> None:
    state = _fill(_torch_shapes(8, batch_norm=True))
    _tame(state, "coeffs.conv_out.conv.weight", "coeffs.conv_out.conv.bias")
    path = tmp_path / f"weights.{suffix}"
    torch.save(state, path) if suffix == "pth" else save_file(state, path)
    enhancer = import_weights(path, "seed")
    assert not enhancer.training
    rgb = _picture(2, 3, 75, 118)
    illumination, result = _seed_forward(state, rgb.flip(1))
    with torch.no_grad():
        found = enhancer(rgb)
    assert illumination.std() > 0.05
    torch.testing.assert_close(found.field.double(), illumination.flip(1), atol=1e-5, rtol=0)
    safe = illumination.flip(1).abs() > 0.2  # dividing by less magnifies the last digits
    assert safe.double().mean() > 0.7
    torch.testing.assert_close(found.output.double()[safe], result.flip(1)[safe], atol=1e-5, rtol=0)


def test_creo_weights_run_as_the_original(tmp_path: Path) -> None:
    state = _fill(_torch_shapes(16, batch_norm=False), seed=1)
    _tame(state, "coeffs.conv_out.conv.weight", "coeffs.conv_out.conv.bias")
    torch.save(state, tmp_path / "weights.pth")
    enhancer = import_weights(tmp_path / "weights.pth", "creo")
    display = _picture(1, 3, 64, 90)
    state = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    network = _torch_network(state, enhancer.thumbnail(display).double())
    coefficients = torch.stack([network[:, 12 * z : 12 * z + 12] for z in range(8)], dim=2)
    pixels = display.double()
    guide = torch.sigmoid(_block(state, "guide.conv2", _block(state, "guide.conv1", pixels).relu()))
    y = ((torch.arange(64, dtype=torch.float64) + 0.5) / 32 - 1)[None, :, None].expand(1, 64, 90)
    x = ((torch.arange(90, dtype=torch.float64) + 0.5) / 45 - 1)[None, None].expand(1, 64, 90)
    place = torch.stack([x, y, 2 * guide[:, 0] - 1], dim=-1)[:, None]
    sliced = F.grid_sample(coefficients, place, align_corners=False, padding_mode="border")[:, :, 0]
    matrix, offset = sliced[:, :9].unflatten(1, (3, 3)), sliced[:, 9:]
    expected = (matrix * pixels[:, None]).sum(2) + offset
    with torch.no_grad():
        torch.testing.assert_close(enhancer(display).field.double(), expected, atol=1e-5, rtol=0)


# The TensorFlow release -----------------------------------------------------------------------------------------------


def _same_conv(state: State, name: str, features: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """TensorFlow's convolution with SAME padding, on (N, H, W, C)."""
    kernel = state[f"inference/coefficients/{name}/weights"]
    size, length = kernel.shape[0], features.shape[1]
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    before, after = total // 2, total - total // 2
    padded = F.pad(features.permute(0, 3, 1, 2), (before, after, before, after))
    result = F.conv2d(padded, kernel.permute(3, 2, 0, 1), stride=stride).permute(0, 2, 3, 1)
    return result + state.get(f"inference/coefficients/{name}/biases", torch.zeros(1, dtype=torch.float64))


def _tensorflow_forward(state: State, rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(illumination, result) of the released graph for (N, H, W, 3), in float64."""
    state = {name: tensor.double() for name, tensor in state.items()}
    count, height, width, _ = rgb.shape
    rows = ((torch.arange(256) + 0.5) * height / 256).long()
    columns = ((torch.arange(256) + 0.5) * width / 256).long()
    splat = rgb[:, rows][:, :, columns]
    for layer in range(1, 5):
        splat = _same_conv(state, f"splat/conv{layer}", splat, 2).relu()
    features = splat
    for layer in range(1, 13):
        features = _same_conv(state, f"global/conv{layer}", features, 2 if layer in (1, 7) else 1).relu()
    features = features.reshape(count, -1)
    for layer in range(1, 4):
        name = f"inference/coefficients/global/fc{layer}"
        features = features @ state[f"{name}/weights"] + state[f"{name}/biases"]
        features = features.relu() if layer < 3 else features
    local = _same_conv(state, "local/conv1", splat).relu()
    for layer in range(2, 7):
        local = _same_conv(state, f"local/conv{layer}", local)
    packed = _same_conv(state, "prediction/conv1", (local + features[:, None, None]).relu())
    by_coefficient = torch.stack(packed.split(8, dim=3), dim=4)  # (N, y, x, z, 12)
    grid = torch.stack(by_coefficient.split(3, dim=4), dim=5)  # (N, y, x, z, out, in)

    colour = rgb @ state["inference/guide/ccm"] + state["inference/guide/ccm_bias"]
    hinges = (colour[..., None] - state["inference/guide/shifts"]).relu()
    curves = (state["inference/guide/slopes"] * hinges).sum(-1)
    mixing = state["inference/guide/channel_mixing/weights"][0, 0, :, 0]
    guide = (curves @ mixing + state["inference/guide/channel_mixing/biases"]).clamp(0, 1)

    y = ((torch.arange(height, dtype=torch.float64) + 0.5) * 2 / height - 1)[None, :, None].expand_as(guide)
    x = ((torch.arange(width, dtype=torch.float64) + 0.5) * 2 / width - 1)[None, None].expand_as(guide)
    place = torch.stack([x, y, 2 * guide - 1], dim=-1)[:, None]
    volume = grid.permute(0, 4, 5, 3, 1, 2).flatten(1, 2)
    sliced = F.grid_sample(volume, place, align_corners=False, padding_mode="border")[:, :, 0].unflatten(1, (3, 4))
    pixels = rgb.permute(0, 3, 1, 2)
    illumination = (sliced[:, :, :3] * pixels[:, None]).sum(2) + sliced[:, :, 3]
    illumination = torch.maximum(illumination.clamp(max=1), pixels)
    return illumination, pixels / (illumination + 1e-3)


def test_official_weights_run_as_the_released_graph(tmp_path: Path) -> None:
    state = _fill(_tensorflow_shapes(), seed=2)
    prediction = "inference/coefficients/prediction/conv1"
    _tame(state, f"{prediction}/weights", f"{prediction}/biases")
    # The published curves are close to their start, a straight line; random ones would mostly be clipped.
    state["inference/guide/ccm"] = torch.eye(3) + 0.1 * state["inference/guide/ccm"]
    state["inference/guide/shifts"] = torch.arange(16).div(16).repeat(1, 1, 3, 1)
    state["inference/guide/channel_mixing/weights"] = torch.tensor([0.2, 0.5, 0.3]).view(1, 1, 3, 1)
    state["inference/guide/slopes"] = 0.2 * state["inference/guide/slopes"] + (torch.arange(16) == 0).float()
    save_file(state, tmp_path / "official.safetensors")
    enhancer = import_weights(tmp_path / "official.safetensors", "official")
    display = _picture(1, 3, 77, 130)
    illumination, result = _tensorflow_forward(state, display.double().permute(0, 2, 3, 1))
    with torch.no_grad():
        found = enhancer(display)
    raw = (illumination < 1) & (illumination > display)
    assert raw.double().mean() > 0.1, "the comparison must not be of clipped values only"
    torch.testing.assert_close(found.field.double(), illumination, atol=1e-5, rtol=0)
    safe = illumination > 0.2
    torch.testing.assert_close(found.output.double()[safe], result[safe], atol=1e-5, rtol=0)


# What is refused ------------------------------------------------------------------------------------------------------


def test_differences_are_listed(tmp_path: Path) -> None:
    state = _fill(_torch_shapes(8, batch_norm=True))
    del state["guide.conv2.conv.bias"]
    state["extra.weight"] = torch.zeros(3)
    state["coeffs.conv_out.conv.weight"] = torch.zeros(108, 64, 1, 1)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UserError) as caught:
        import_weights(tmp_path / "weights.pth", "seed")
    message = str(caught.value)
    assert "weights.pth" in message
    assert "3 differences" in message
    assert "missing guide.conv2.conv.bias" in message
    assert "unexpected extra.weight" in message
    assert "coeffs.conv_out.conv.weight is (108, 64, 1, 1) instead of (96, 64, 1, 1)" in message
    with pytest.raises(UserError, match=r"missing inference/coefficients/splat/conv1/weights"):
        import_weights(tmp_path / "weights.pth", "official")


class _Trap:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_nothing_in_a_pickle_is_executed(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    torch.save({"weight": _Trap(sprung)}, tmp_path / "trap.pth")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"weight": _Trap(sprung)}, protocol=2))
    for name in ("trap.pth", "plain.pkl"):
        with pytest.raises(UserError, match=rf"{name}: cannot be read as weights"):
            import_weights(tmp_path / name, "seed")
    assert not sprung.exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.pth: there is no such file"):
        import_weights(tmp_path / "nowhere.pth", "seed")
    with pytest.raises(UserError, match=r"'hdrnet' is not a known network; choose one of seed, official, creo"):
        import_weights(tmp_path / "nowhere.pth", "hdrnet")  # type: ignore[arg-type]
    for name, content in (("a.pth", b""), ("b.pth", b"not weights"), ("c.safetensors", b"not weights")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}: cannot be read as weights"):
            import_weights(tmp_path / name, "seed")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    torch.save({"state_dict": {"a": torch.zeros(2)}, "epoch": 3}, tmp_path / "nested.pth")
    for name in ("list.pth", "nested.pth"):
        with pytest.raises(UserError, match="not a plain dictionary of names and tensors"):
            import_weights(tmp_path / name, "seed")


def test_options_and_weights_make_the_same_enhancer(tmp_path: Path) -> None:
    torch.save(_fill(_torch_shapes(8, batch_norm=True)), tmp_path / "weights.pth")
    options, state = read_weights(tmp_path / "weights.pth", "seed")
    enhancer = Enhancer(**options)
    enhancer.load_state_dict(state)
    display = _picture(1, 3, 20, 30)
    with torch.no_grad():
        assert torch.equal(
            enhancer.eval()(display).output, import_weights(tmp_path / "weights.pth", "seed")(display).output
        )
