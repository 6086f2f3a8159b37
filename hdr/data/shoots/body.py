"""Camera bodies: invented ones, whose optics, sensors, noise and colours are of a plausible kind."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from hdr.ops.noise import noise_profile_of_iso
from hdr.ops.primaries import rgb_to_xyz_matrix

Array = npt.NDArray[np.float64]
T = TypeVar("T", int, float)

# The values that cameras show for steps of a third of a stop. Longer times are 1/these below 0.4 s.
_SECONDS = (0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 15.0, 20.0, 25.0, 30.0)
_PARTS = (
    *(3, 4, 5, 6, 8, 10, 13, 15, 20, 25, 30, 40, 50, 60, 80, 100, 125, 160, 200, 250, 320, 400, 500, 640, 800, 1000),
    *(1250, 1600, 2000, 2500, 3200, 4000, 5000, 6400, 8000, 10000, 12800, 16000, 20000, 25600, 32000),
)
TIMES = (*(1.0 / part for part in reversed(_PARTS)), *_SECONDS)
"""Exposure times in thirds of a stop, seconds, rising."""
APERTURES = (
    *(1.4, 1.6, 1.8, 2.0, 2.2, 2.5, 2.8, 3.2, 3.5, 4.0, 4.5, 5.0, 5.6),
    *(6.3, 7.1, 8.0, 9.0, 10.0, 11.0, 13.0, 14.0, 16.0),
)
"""F-numbers in thirds of a stop, rising."""
ISOS = (
    *(50, 64, 80, 100, 125, 160, 200, 250, 320, 400, 500, 640, 800, 1000, 1250, 1600, 2000, 2500, 3200, 4000, 5000),
    *(6400, 8000, 10000, 12800, 16000, 20000, 25600),
)
"""Sensitivities in thirds of a stop, rising."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """A camera with its lens."""

    make: str
    model: str
    pattern: str
    """Colours of the top-left 2x2 block of the mosaic, by rows."""
    black_level: tuple[float, float, float, float]
    """Sensor value of black at the four sites of that block."""
    white_level: int
    """Sensor value at saturation."""
    pixels: tuple[int, int]
    """Rows and columns of the whole sensor."""
    colour_matrix: torch.Tensor
    """float64 (3, 3), CIE XYZ to camera R, G, B; a D65 white of Y = 1 has 1 in its largest channel."""
    full_well: float
    """Photo-electrons that saturate a pixel at the lowest ISO."""
    read_before: float
    """Standard deviation of the noise that the amplifier raises with the signal, electrons."""
    read_after: float
    """Standard deviation of the noise behind the amplifier, electrons at the lowest ISO."""
    headroom: float
    """EV by which the meter keeps below the grey of a plain rendering; the file's BaselineExposure takes it back."""
    isos: tuple[int, ...]
    apertures: tuple[float, ...]
    times: tuple[float, ...]
    focal_length: float
    """Millimetres."""

    @property
    def bits(self) -> int:
        """Bits of the converter."""
        return self.white_level.bit_length()

    def noise(self, iso: float) -> tuple[float, float]:
        """S and O of :func:`hdr.ops.noise.add_sensor_noise` at an ISO, before the converter rounds."""
        return self._noise(iso, None)

    def noise_profile(self, iso: float) -> tuple[float, float]:
        """S and O of the sensor values, the rounding to whole values included: what the file's NoiseProfile says."""
        return self._noise(iso, self.white_level - sum(self.black_level) / 4.0)

    def _noise(self, iso: float, levels: float | None) -> tuple[float, float]:
        shot, read = noise_profile_of_iso(
            torch.tensor(iso, dtype=torch.float64),
            full_well=self.full_well,
            read_before=self.read_before,
            read_after=self.read_after,
            base_iso=self.isos[0],
            levels=levels,
        )
        return float(shot), float(read)


def colour_matrix(
    peaks: tuple[float, float, float], widths: tuple[float, float, float], heights: tuple[float, float, float]
) -> torch.Tensor:
    """XYZ to camera matrix, float64 (3, 3), of a sensor whose channels R, G, B have bell-shaped spectral sensitivities.

    The sensitivities are Gaussians (nanometres); the matrix is the least-squares fit of them by the CIE 1931 colour
    matching functions, of which the analytic form of Wyman, Sloan and Shirley 2013 (JCGT 2(2), table 1) is used. It is
    scaled so that D65 of Y = 1 gives 1 in its largest channel.
    """
    nm = np.arange(400.0, 701.0, 5.0)

    def lobe(height: float, centre: float, below: float, above: float) -> Array:
        return height * np.exp(-0.5 * ((nm - centre) / np.where(nm < centre, below, above)) ** 2)

    matching = np.stack(
        [
            lobe(1.056, 599.8, 37.9, 31.0) + lobe(0.362, 442.0, 16.0, 26.7) + lobe(-0.065, 501.1, 20.4, 26.2),
            lobe(0.821, 568.8, 46.9, 40.5) + lobe(0.286, 530.9, 16.3, 31.1),
            lobe(1.217, 437.0, 11.8, 36.0) + lobe(0.681, 459.0, 26.0, 13.8),
        ],
        axis=1,
    )
    channels = np.stack([lobe(h, p, w, w) for h, p, w in zip(heights, peaks, widths, strict=True)], axis=1)
    matrix = torch.from_numpy(np.linalg.lstsq(matching, channels, rcond=None)[0].T)
    return matrix / (matrix @ rgb_to_xyz_matrix("rec709").sum(1)).max()


@functools.cache
def bodies() -> dict[str, Body]:
    """The bodies by model: two with large sensors, a compact one, and a telephone."""
    made = (
        Body(
            make="Imaginary",
            model="Full 24",
            pattern="RGGB",
            black_level=(512.0, 512.0, 512.0, 512.0),
            white_level=15360,
            pixels=(4000, 6000),
            colour_matrix=colour_matrix((600.0, 540.0, 460.0), (32.0, 38.0, 28.0), (0.80, 1.0, 0.85)),
            full_well=60000.0,
            read_before=1.8,
            read_after=4.5,
            headroom=0.5,
            isos=_between(ISOS, 100, 25600),
            apertures=_between(APERTURES, 1.8, 16.0),
            times=_between(TIMES, 1 / 8000, 30.0),
            focal_length=35.0,
        ),
        Body(
            make="Imaginary",
            model="Crop 26",
            pattern="GBRG",
            black_level=(1024.0, 1022.0, 1023.0, 1024.0),
            white_level=16300,
            pixels=(4160, 6240),
            colour_matrix=colour_matrix((605.0, 530.0, 455.0), (35.0, 42.0, 25.0), (0.70, 1.0, 0.80)),
            full_well=38000.0,
            read_before=2.2,
            read_after=3.5,
            headroom=0.7,
            isos=_between(ISOS, 160, 12800),
            apertures=_between(APERTURES, 2.0, 16.0),
            times=_between(TIMES, 1 / 8000, 30.0),
            focal_length=23.0,
        ),
        Body(
            make="Imaginary",
            model="Compact 20",
            pattern="BGGR",
            black_level=(255.0, 254.0, 254.0, 256.0),
            white_level=4095,
            pixels=(3888, 5184),
            colour_matrix=colour_matrix((595.0, 535.0, 465.0), (30.0, 45.0, 30.0), (0.75, 1.0, 0.75)),
            full_well=25000.0,
            read_before=2.0,
            read_after=3.0,
            headroom=0.3,
            isos=_between(ISOS, 200, 6400),
            apertures=_between(APERTURES, 2.8, 16.0),
            times=_between(TIMES, 1 / 4000, 30.0),
            focal_length=14.0,
        ),
        Body(
            make="Imaginary",
            model="Telephone 12",
            pattern="GRBG",
            black_level=(256.0, 256.0, 256.0, 256.0),
            white_level=4095,
            pixels=(3024, 4032),
            colour_matrix=colour_matrix((598.0, 534.0, 462.0), (28.0, 34.0, 30.0), (0.85, 1.0, 0.90)),
            full_well=6500.0,
            read_before=1.6,
            read_after=2.5,
            headroom=1.0,
            isos=_between(ISOS, 50, 3200),
            apertures=(1.8,),
            times=_between(TIMES, 1 / 32000, 0.5),
            focal_length=4.4,
        ),
    )
    return {body.model: body for body in made}


def _between(scale: tuple[T, ...], low: float, high: float) -> tuple[T, ...]:
    return tuple(value for value in scale if low * 0.999 <= value <= high * 1.001)
