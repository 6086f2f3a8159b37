"""Sensor noise: photon and read noise, and how both follow from the ISO setting."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hdr.ops._parameters import per_image

NoiseModel = Literal["gaussian", "poisson_gaussian"]

_COUNTED = 1e4
"""Electrons up to which photon noise is counted out; the skewness of a Poisson distribution is 0.01 there."""


def add_sensor_noise(
    linear: Tensor,
    shot: Tensor | float,
    read: Tensor | float,
    generator: torch.Generator | None = None,
    model: NoiseModel = "gaussian",
) -> Tensor:
    """Add noise of mean 0 and variance ``shot * x + read`` to each value x.

    This is the model of a DNG file's NoiseProfile (DNG 1.4, S and O): photon noise grows with the signal, read noise
    does not. The result is not clamped, so dark values may turn negative; clip afterwards, as the sensor's converter
    does (the clipped model of Foi, Trimeche, Katkovnik and Egiazarian, IEEE TIP 17(10), 2008).

    ``"gaussian"``: both parts are normal. Gradients flow through the signal and through its noise level.

    ``"poisson_gaussian"``: ``x / shot`` electrons are expected and a whole number arrives (Poisson), read noise is
    normal; above 10 000 electrons photon noise is normal as well. Mean and variance are those of the other model; what
    differs is the shape, first the skewness S^2 x / (S x + O)^1.5: it shows where few electrons meet a read noise of
    one or less, as in the shadows of a small sensor at high ISO. Drawing takes ten times as long. Counts have no
    gradient: with regard to the signal it is 1, that of the mean, and ``shot`` gets none.

    Args:
        linear: (N, C, H, W), or (C, H, W) with one level for all; 1.0 = sensor saturation, negative values count as
            dark. Infinite values and NaN stay what they are.
        shot: S >= 0, one for all, (N,), per channel (N, C) or (1, C), or of four dimensions that broadcast.
        read: O >= 0, likewise.
        generator: of the device of ``linear``.
        model: see above.

    Raises:
        ValueError: an unknown model.
    """
    if model not in ("gaussian", "poisson_gaussian"):
        raise ValueError(f"noise model {model!r}: wanted gaussian or poisson_gaussian")
    shot_level, read_level = per_image(shot, linear), per_image(read, linear)
    # The noise of infinite light would be infinite as well, and their sum NaN; a full well is what it should become.
    light = linear.clamp(0.0, torch.finfo(linear.dtype).max)
    normal = torch.randn(linear.shape, generator=generator, dtype=linear.dtype, device=linear.device)
    # The root has no gradient at 0; a variance of 1e-12 is far below any sensor's.
    deviation = (light * shot_level).add_(read_level).clamp_(min=1e-12).sqrt_()
    if model == "gaussian":
        return torch.addcmul(linear, normal, deviation)
    with torch.no_grad():
        expected = light / shot_level.clamp(min=1e-12)
        counts = torch.poisson(expected.nan_to_num(0.0).clamp(max=_COUNTED), generator=generator)
        photon_noise = (counts - expected) * shot_level
    counted = photon_noise + normal * read_level.clamp(min=1e-12).sqrt()
    return linear + torch.where(expected <= _COUNTED, counted, normal * deviation)


def noise_profile_of_iso(
    iso: Tensor | float,
    *,
    full_well: float,
    read_before: float,
    read_after: float,
    base_iso: float = 100.0,
    levels: float | None = None,
) -> tuple[Tensor, Tensor]:
    """S and O of :func:`add_sensor_noise` from the ISO setting and what is known of a sensor.

    ISO is a gain between sensor and converter: at ``g = iso / base_iso`` the converter saturates at E = full_well / g
    electrons. With the signal in units of that saturation,

        S = 1 / E                                                           (photons arrive as a Poisson process)
        O = (read_before / E)^2 + (read_after / full_well)^2 + 1 / (12 levels^2)

    so that S doubles with ISO, and read noise is flat at low ISO and grows with ISO^2 at high ISO. These are also the
    units of DNG's NoiseProfile: 1.0 is the white level after the black level was taken off. Below ``base_iso`` (an
    "extended" setting) the well fills before the converter does; the values there are those of ``base_iso``.

    Orders of magnitude, in electrons (full well, before, after): full-frame camera 60 000 to 90 000, 2 to 4, 5 to 30;
    1-inch or APS-C 15 000 to 40 000, 1.5 to 3, 2 to 15; phone with pixels of about 1 um 4 000 to 7 000, 1.5 to 3, 2
    to 5. Photon-transfer measurements of single cameras: clarkvision.com and photonstophotos.net.

    Source: the model with noise before and after the gain is that of Hasinoff, Durand and Freeman, Noise-optimal
    capture for high dynamic range photography, CVPR 2010, section 3, and of Martinec, Noise, dynamic range and bit
    depth in digital SLRs, 2008.

    Args:
        iso: one setting or (N,).
        full_well: electrons at saturation at ``base_iso``.
        read_before: standard deviation of noise that the gain amplifies, electrons.
        read_after: of noise that comes after the gain, in electrons at ``base_iso``.
        base_iso: the setting at which a full well just saturates the converter.
        levels: steps of the converter between black and white. None where :func:`hdr.ops.sensor.digitise` follows,
            whose rounding is this term.

    Returns:
        S and O, of the shape of ``iso``.

    Raises:
        ValueError: a full well, base ISO or number of levels that is not positive, or negative noise.
    """
    if not (full_well > 0 and base_iso > 0 and read_before >= 0 and read_after >= 0 and (levels is None or levels > 0)):
        raise ValueError(
            f"wanted full_well, base_iso and levels above 0 and noise of at least 0, got full_well={full_well}, "
            f"base_iso={base_iso}, levels={levels}, read_before={read_before}, read_after={read_after}"
        )
    gain = (torch.as_tensor(iso, dtype=torch.get_default_dtype()) / base_iso).clamp(min=1.0)
    shot = gain / full_well
    rounding = 1.0 / (12.0 * levels**2) if levels else 0.0
    return shot, (read_before * shot) ** 2 + (read_after / full_well) ** 2 + rounding
