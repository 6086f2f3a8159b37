"""Sensor noise."""

from __future__ import annotations

import torch
from torch import Tensor


def add_sensor_noise(
    linear: Tensor, shot: Tensor | float, read: Tensor | float, generator: torch.Generator | None = None
) -> Tensor:
    """Add Gaussian noise of variance ``shot * x + read`` to each value x.

    This is the model of a DNG file's NoiseProfile (DNG 1.4, S and O): photon noise grows with the signal, read noise
    does not. The noise has mean 0 and the result is not clamped, so dark values may turn negative; clip afterwards, as
    the sensor's converter does. Gradients flow through the signal and through its noise level.

    Args:
        linear: (N, 3, H, W) or (3, H, W), 1.0 = sensor saturation; negative values count as dark.
        shot: S, one for all or (N,).
        read: O, one for all or (N,).
        generator: of the device of ``linear``.
    """
    shot_level, read_level = (
        level[:, None, None, None] if level.ndim else level
        for level in (torch.as_tensor(v, dtype=linear.dtype, device=linear.device) for v in (shot, read))
    )
    noise = torch.randn(linear.shape, generator=generator, dtype=linear.dtype, device=linear.device)
    # The root has no gradient at 0; a variance of 1e-12 is far below any sensor's.
    return linear + noise * (shot_level * linear.clamp(min=0.0) + read_level).clamp(min=1e-12).sqrt()
