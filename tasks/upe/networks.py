"""The coefficient network: a thumbnail goes in, a bilateral grid of affine coefficients comes out.

Architecture: Gharbi et al., "Deep Bilateral Learning for Real-Time Image Enhancement" (2017), section 3.1; the deeper
form is the one released with Wang et al., "Underexposed Photo Enhancement using Deep Illumination Estimation" (2019).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from hdr.errors import UserError
from hdr.ops.colour import luminance
from hdr.ops.encoding import srgb_to_linear

Padding = Literal["symmetric", "same_tf"]

COARSEST = 4  # the global path pools until the features are 4 x 4

NETWORKS: dict[str, dict[str, Any]] = {
    # Gharbi et al. 2017
    "hdrnet": {"net_size": 256, "grid_size": 16, "depth": 8},
    # The weights released with Wang et al. 2019
    "official": {"net_size": 256, "grid_size": 16, "depth": 8, "global_convs": 6, "local_convs": 6},
    # The PyTorch reimplementation whose weights are public (github.com/hermosayhl/DeepUPE_pytorch)
    "seed": {"net_size": 256, "grid_size": 8, "depth": 8, "batch_norm": True},
}


class ConvBlock(nn.Module):
    """Convolution, optional batch norm, optional ReLU.

    ``padding="same_tf"`` pads a stride of 2 at the bottom and right only, which is what TensorFlow's SAME does on even
    sizes; ``"symmetric"`` pads all sides. They are the same for a stride of 1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        bias: bool = True,
        relu: bool = True,
        batch_norm: bool = False,
        padding: Padding = "symmetric",
    ) -> None:
        super().__init__()
        self.one_sided = padding == "same_tf" and stride == 2
        self.relu = relu
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=0 if self.one_sided else kernel // 2, bias=bias)
        self.norm = nn.BatchNorm2d(outputs) if batch_norm else nn.Identity()
        _initialise(self.conv)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.one_sided:
            features = F.pad(features, (0, 1, 0, 1))
        features = self.norm(self.conv(features))
        return F.relu(features) if self.relu else features


class FullyConnected(nn.Module):
    """Linear layer, optional batch norm, optional ReLU."""

    def __init__(self, inputs: int, outputs: int, *, relu: bool = True, batch_norm: bool = False) -> None:
        super().__init__()
        self.relu = relu
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs) if batch_norm else nn.Identity()
        _initialise(self.linear)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = self.norm(self.linear(features))
        return F.relu(features) if self.relu else features


class HDRNetCoefficients(nn.Module):
    """Thumbnail (N, 3, net_size, net_size) -> grid (N, outputs, depth, grid_size, grid_size) and global features.

    Strided convolutions reduce the thumbnail to the grid's width; a local path keeps its place, a global path pools to
    4 x 4 and ends in fully connected layers; their sum, rectified, gives the coefficients through a 1 x 1 convolution.
    Channel ``c * depth + z`` of that convolution is coefficient ``c`` at depth ``z``.

    Weights start with He's variance and biases at zero, except the last convolution: it starts at zero, so that the
    grid is the constant that :meth:`set_constant` wrote into its bias, and training departs from a known point.

    Args:
        outputs: coefficients per grid cell (12 for a 3 x 4 matrix).
        net_size: width of the square thumbnail; ``grid_size`` times a power of two.
        grid_size: cells of the grid along x and along y; 4 times a power of two.
        depth: cells along the guide.
        channel_multiplier: factor on all layer widths; the last convolutions have ``8 * depth`` times this.
        global_convs: convolutions per halving in the global path; the first one of each halves the size.
        local_convs: convolutions of the local path; the first has a ReLU, the others are linear without bias.
        batch_norm: after every fully connected layer, and after every convolution but the first of all, the linear
            ones of the local path and the last.
        padding: see :class:`ConvBlock`.
        histogram_bins: bins of a log-luminance histogram of the thumbnail, given to the global path; 0 for none. It
            tells a picture that is dark throughout from one with deep shadows and full lights without the network
            having to learn to count.

    Raises:
        UserError: sizes that are not what the strided layers need, or counts below 1.
    """

    def __init__(
        self,
        *,
        outputs: int = 12,
        net_size: int = 256,
        grid_size: int = 16,
        depth: int = 8,
        channel_multiplier: int = 1,
        global_convs: int = 1,
        local_convs: int = 2,
        batch_norm: bool = False,
        padding: Padding = "symmetric",
        histogram_bins: int = 0,
    ) -> None:
        super().__init__()
        _check_sizes(net_size, grid_size)
        counts = {
            "depth": depth,
            "channel_multiplier": channel_multiplier,
            "global_convs": global_convs,
            "local_convs": local_convs,
            "outputs": outputs,
        }
        for name, count in counts.items():
            if count < 1:
                raise UserError(f"network.{name}: {count} is not possible; it is at least 1")
        if padding not in ("symmetric", "same_tf"):
            raise UserError(f"network.padding: '{padding}' is not known; choose symmetric or same_tf")
        if histogram_bins < 0 or histogram_bins == 1:
            raise UserError(f"network.histogram_bins: {histogram_bins} is not possible; use 0 for none, or 2 and more")
        self.net_size, self.grid_size, self.depth, self.outputs = net_size, grid_size, depth, outputs
        self.histogram_bins = histogram_bins

        splat: list[nn.Module] = []
        channels = 3
        for layer in range((net_size // grid_size).bit_length() - 1):
            width = channel_multiplier * depth * 2**layer
            splat.append(ConvBlock(channels, width, stride=2, batch_norm=batch_norm and layer > 0, padding=padding))
            channels = width
        self.splat = nn.Sequential(*splat)

        width = 8 * channel_multiplier * depth
        self.global_width = width
        pooling: list[nn.Module] = []
        pooled = channels
        for _ in range((grid_size // COARSEST).bit_length() - 1):
            for layer in range(global_convs):
                stride = 2 if layer == 0 else 1
                pooling.append(ConvBlock(pooled, width, stride=stride, batch_norm=batch_norm, padding=padding))
                pooled = width
        self.global_convs = nn.Sequential(*pooling)
        self.global_fc = nn.Sequential(
            FullyConnected(pooled * COARSEST**2 + histogram_bins, 4 * width, batch_norm=batch_norm),
            FullyConnected(4 * width, 2 * width, batch_norm=batch_norm),
            FullyConnected(2 * width, width, relu=False, batch_norm=batch_norm),
        )
        local: list[nn.Module] = [ConvBlock(channels, width, batch_norm=batch_norm)]
        local += [ConvBlock(width, width, bias=False, relu=False) for _ in range(local_convs - 1)]
        self.local = nn.Sequential(*local)
        self.prediction = nn.Conv2d(width, outputs * depth, 1)
        self.set_constant(torch.zeros(outputs))

    @torch.no_grad()
    def set_constant(self, coefficients: torch.Tensor) -> None:
        """Make every cell of every grid hold ``coefficients`` (outputs,), whatever the thumbnail."""
        self.prediction.weight.zero_()
        assert self.prediction.bias is not None
        self.prediction.bias.copy_(coefficients.repeat_interleave(self.depth))

    def forward(self, thumbnail: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, net_size, net_size) display -> the grid, and the (N, global_width) features of the global path."""
        features = self.splat(thumbnail)
        pooled = self.global_convs(features).flatten(1)
        if self.histogram_bins:
            shares = log_luminance_histogram(thumbnail, self.histogram_bins)
            pooled = torch.cat([pooled, shares * self.histogram_bins], dim=1)  # mean 1, the size of other features
        overall = self.global_fc(pooled)
        fused = F.relu(self.local(features) + overall[:, :, None, None])
        grid = self.prediction(fused)
        return grid.unflatten(1, (self.outputs, self.depth)), overall


def log_luminance_histogram(display: torch.Tensor, bins: int, stops: float = 12.0) -> torch.Tensor:
    """Share of pixels in ``bins`` overlapping bins of log luminance, (N, bins), each row summing to 1.

    ``display`` is (N, 3, H, W), sRGB-encoded in [0, 1]. Bin centres are spread evenly from ``-stops`` EV to 0 EV
    (luminance 1, display white); a pixel is divided linearly between its two neighbouring bins, so the histogram
    is differentiable. Darker pixels fall into the first bin.
    """
    level = torch.log2(luminance(srgb_to_linear(display.float())).clamp(min=2.0**-stops))  # float: autocast has 8 bits
    position = ((level / stops + 1) * (bins - 1)).clamp(0, bins - 1).flatten(1)
    shares = [F.relu(1 - (position - centre).abs()).mean(dim=1) for centre in range(bins)]
    return torch.stack(shares, dim=1).to(display.dtype)


def _initialise(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _check_sizes(net_size: int, grid_size: int) -> None:
    if not _is_multiple_by_power_of_two(grid_size, COARSEST, least=1):
        raise UserError(
            f"network.grid_size: {grid_size} is not possible, because the global path halves it down to {COARSEST};"
            f" use {COARSEST} times a power of two: 4, 8, 16, 32, ..."
        )
    if not _is_multiple_by_power_of_two(net_size, grid_size, least=2):
        accepted = ", ".join(str(grid_size * 2**power) for power in range(1, 6))
        raise UserError(
            f"network.net_size: {net_size} cannot be halved down to grid_size {grid_size}; use one of {accepted}"
        )


def _is_multiple_by_power_of_two(value: int, unit: int, least: int) -> bool:
    factor, rest = divmod(value, unit)
    return rest == 0 and factor >= least and factor & (factor - 1) == 0
