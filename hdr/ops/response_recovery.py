"""The response of a camera, recovered from an exposure bracket (Debevec and Malik, SIGGRAPH 1997)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hdr.ops.crf import monotone_projection

LEVELS = 256
_REFERENCE_PIXELS = 100.0
_PIXELS_AT_ONCE = 1 << 20


def recover_inverse_curves(display: Tensor, times: Tensor, *, smoothness: float = 10.0) -> Tensor:
    """Inverse response curves of each channel, from aligned 8-bit pictures of one static scene.

    Least squares for g, the logarithm of light by display level, and the radiance of each pixel (eq. 3 and 4 of the
    paper, hat weights): the logarithms of light that frames give for a pixel should differ by those of the times, and g
    should be smooth. The radiances are eliminated in closed form, which leaves 256 unknowns: all pixels take part, no
    sample of them. What comes out is made monotone and scaled to end at 1.

    A bracket tells ratios of light only: the result rests on the times and on pixels that differ between frames.
    Levels that no pixel has are filled in smoothly. Computed in float64, without gradients.

    Args:
        display: (N, K, C, H, W) in [0, 1], K at least 2; rounded to 8 bits.
        times: (K,) or (N, K), above 0, proportional to exposure.
        smoothness: weight of second differences of g against the data of 100 pixels, however many there are: the
            lambda of the paper's program and of OpenCV with 100 samples.

    Returns:
        (N, C, 256) from 0 to 1, in the dtype of ``display``; they fit ``merge_exposures(..., inverse=...)``.

    Raises:
        ValueError: shapes that do not match, fewer than two frames, times not above 0.
    """
    if display.ndim != 5 or display.shape[1] < 2 or times.shape not in (display.shape[1:2], display.shape[:2]):
        raise ValueError(
            "wanted pictures (N, K, C, H, W) of at least 2 frames and times (K,) or (N, K), "
            f"got {tuple(display.shape)}, {tuple(times.shape)}"
        )
    if not bool(((times > 0) & times.isfinite()).all()):
        raise ValueError(f"times must be above 0, got {times.tolist()}")
    with torch.no_grad():
        matrix, right = _normal_equations(display, times)
        hat = _hat(display.device)
        second = functional.pad(torch.eye(LEVELS - 2, dtype=torch.float64, device=display.device), (0, 2))
        second = second - 2 * second.roll(1, -1) + second.roll(2, -1)
        second = smoothness * hat[1:-1, None] * second
        matrix = matrix + second.T @ second
        matrix[..., LEVELS // 2, LEVELS // 2] += 1.0  # g of the middle level is 0: a bracket does not tell the scale
        g = torch.cholesky_solve(right[..., None], torch.linalg.cholesky(matrix))[..., 0]
        return monotone_projection((g - g[..., -1:]).exp()).to(display.dtype)


def _normal_equations(display: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices (N, C, 256, 256) and right sides (N, C, 256) of the data term, radiances eliminated.

    For one pixel of squared weights v_k at levels z_k the radiance is the weighted mean of g(z_k) - ln t_k over frames.
    """
    n, k, c = display.shape[:3]
    pixels = display.flatten(3)
    logarithms = times.to(display.device, torch.float64).log().expand(n, k)[..., None, None].unbind(1)
    squares = _hat(display.device).square()
    matrix = torch.zeros(n, c, LEVELS * LEVELS, dtype=torch.float64, device=display.device)
    right = torch.zeros(n, c, LEVELS, dtype=torch.float64, device=display.device)
    for part in pixels.split(_PIXELS_AT_ONCE, dim=-1):
        levels = (part.clamp(0.0, 1.0) * (LEVELS - 1)).round().long().unbind(1)
        weights = [squares[z] for z in levels]
        total = torch.stack(weights).sum(0).clamp(min=1e-12)
        for i, (z, v, t) in enumerate(zip(levels, weights, logarithms, strict=True)):
            for j, (other, u, s) in enumerate(zip(levels, weights, logarithms, strict=True)):
                both = v * u / total
                own = v if i == j else 0.0
                matrix.scatter_add_(-1, z * LEVELS + other, own - both)
                right.scatter_add_(-1, z, own * t - both * s)
    scale = _REFERENCE_PIXELS / pixels.shape[-1]
    return matrix.view(n, c, LEVELS, LEVELS) * scale, right * scale


def _hat(device: torch.device) -> Tensor:
    """The triangle of the paper over levels, in its own units: 0, 1, ... 127, 127, ... 1, 0."""
    levels = torch.arange(LEVELS, dtype=torch.float64, device=device)
    return torch.minimum(levels, LEVELS - 1 - levels)
