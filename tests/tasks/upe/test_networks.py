"""The coefficient network: published sizes, padding, initialisation, histogram, refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hdr.errors import UserError
from tasks.upe.networks import NETWORKS, ConvBlock, HDRNetCoefficients, log_luminance_histogram


def _multiplications(network: nn.Module, thumbnail: torch.Tensor) -> int:
    total = 0

    def count(module: Any, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()

    for module in network.modules():
        module.register_forward_hook(count)
    network(thumbnail)
    return total


@pytest.mark.parametrize(
    ("name", "parameters", "millions"),
    # 481,968 is by hand from the layer table: splat 24,528, global 73,856 and 303,552, local 73,792, prediction 6,240
    [("hdrnet", 481_968, 41.4), ("official", 998_816 - 112, 93.9), ("seed", 594_369 - 113, 31.4)],
)
def test_sizes_are_the_published_ones(name: str, parameters: int, millions: float) -> None:
    network = HDRNetCoefficients(**NETWORKS[name]).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert round(_multiplications(network, torch.rand(1, 3, 256, 256)) / 1e6, 1) == pytest.approx(millions, abs=0.11)


@pytest.mark.parametrize(
    "options",
    [
        {"net_size": 32, "grid_size": 4, "depth": 3},
        {"net_size": 64, "grid_size": 8, "depth": 5, "channel_multiplier": 2, "outputs": 7},
        {"net_size": 64, "grid_size": 32, "depth": 2, "local_convs": 1, "histogram_bins": 6},
        {"net_size": 32, "grid_size": 8, "depth": 2, "padding": "same_tf", "global_convs": 3, "batch_norm": True},
    ],
)
def test_shapes_follow_the_options(options: dict[str, Any]) -> None:
    network = HDRNetCoefficients(**options)
    grid, overall = network(torch.rand(2, 3, options["net_size"], options["net_size"]))
    cells = options["grid_size"]
    assert grid.shape == (2, options.get("outputs", 12), options["depth"], cells, cells)
    assert overall.shape == (2, network.global_width)


def test_batch_is_a_loop_over_its_items() -> None:
    network = HDRNetCoefficients(net_size=32, grid_size=8, depth=4, histogram_bins=5)
    nn.init.normal_(network.prediction.weight)
    thumbnails = torch.rand(3, 3, 32, 32)
    grids, _ = network(thumbnails)
    for item in range(3):
        torch.testing.assert_close(grids[item : item + 1], network(thumbnails[item : item + 1])[0])


def test_weights_start_with_hes_variance_and_the_grid_constant() -> None:
    torch.manual_seed(0)
    network = HDRNetCoefficients(depth=8, outputs=4)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module is not network.prediction:
            fan_in = module.weight[0].numel()
            spread = module.weight.std().item() / math.sqrt(2 / fan_in)
            assert spread == pytest.approx(1, abs=6 / math.sqrt(2 * module.weight.numel()))  # six deviations of a std
            assert module.bias is None or (module.bias == 0).all()
    constant = torch.tensor([1.0, -2.0, 3.0, 0.5])
    network.set_constant(constant)
    grid, _ = network(torch.rand(2, 3, 256, 256))
    assert torch.equal(grid, constant[None, :, None, None, None].expand_as(grid))


def test_same_tf_pads_below_and_to_the_right() -> None:
    block = ConvBlock(2, 3, stride=2, padding="same_tf", relu=False)
    features = torch.rand(1, 2, 6, 8)
    kernel, values = block.conv.weight.double().detach().numpy(), features[0].double().numpy()
    padded = np.zeros((2, 7, 9))
    padded[:, :6, :8] = values
    expected = np.zeros((3, 3, 4))
    for y in range(3):
        for x in range(4):
            window = padded[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
            expected[:, y, x] = (kernel * window).sum((1, 2, 3))
    np.testing.assert_allclose(block(features)[0].detach().numpy(), expected, atol=1e-6)


def test_histogram_is_its_definition() -> None:
    display = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0)) ** 3
    found = log_luminance_histogram(display, 7, stops=10).numpy()
    for item in range(2):
        shares = np.zeros(7)
        for red, green, blue in display[item].double().flatten(1).T.numpy():
            linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in (red, green, blue)]
            level = math.log2(max(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2], 2**-10))
            position = (level / 10 + 1) * 6
            low = min(int(position), 5)
            shares[low] += (1 - (position - low)) / 30
            shares[low + 1] += (position - low) / 30
        np.testing.assert_allclose(found[item], shares, atol=1e-5)


def test_histogram_ends() -> None:
    ends = torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])
    torch.testing.assert_close(log_luminance_histogram(ends, 5), torch.eye(5)[[0, 4]], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"net_size": 200}, r"network\.net_size: 200 cannot be halved down to grid_size 16; use one of 32, 64, 128"),
        ({"net_size": 16}, r"network\.net_size: 16"),
        ({"net_size": 384}, r"network\.net_size: 384"),
        ({"grid_size": 12}, r"network\.grid_size: 12 .* 4, 8, 16"),
        ({"grid_size": 2}, r"network\.grid_size: 2"),
        ({"grid_size": 0}, r"network\.grid_size: 0"),
        ({"net_size": -256}, r"network\.net_size: -256"),
        ({"depth": 0}, r"network\.depth: 0"),
        ({"local_convs": 0}, r"network\.local_convs: 0"),
        ({"padding": "valid"}, r"network\.padding: 'valid' .* symmetric or same_tf"),
        ({"histogram_bins": 1}, r"network\.histogram_bins: 1"),
    ],
)
def test_impossible_sizes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        HDRNetCoefficients(**options)
