"""Procedural textures whose value depends on the place, not on the pixel grid."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_TILE = 256  # texels; holds wavelengths of 4 to 16 texels, so that bilinear look-up neither aliases nor shows its grid
_TILES = 8


@functools.cache
def _tile(index: int) -> Array:
    """A periodic noise tile (256, 256): wavelengths 4 to 16 texels, amplitude 1/f, mean 0, variance 1."""
    rng = np.random.default_rng([20240521, index])
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None, :])
    amplitude = np.where((frequency >= 1 / 16) & (frequency <= 1 / 4), 1.0 / np.maximum(frequency, 1e-6), 0.0)
    tile = np.fft.irfft2(amplitude * np.exp(2j * np.pi * rng.random(frequency.shape)), s=(_TILE, _TILE))
    return np.asarray((tile - tile.mean()) / tile.std(), dtype=np.float32)


class Texture:
    """Fractal noise over a plane: unit variance, wavelengths from ``wavelength`` down by a factor of 4 per band.

    ``roughness`` is the amplitude of each band over that of the one before: 1 gives the 1/f amplitude spectrum of
    natural images (equal variance in each octave), less gives smoother matter.
    """

    def __init__(self, rng: np.random.Generator, wavelength: float, bands: int = 3, roughness: float = 1.0) -> None:
        self.wavelength = wavelength
        self.tiles = rng.integers(0, _TILES, bands)
        self.offsets = rng.random((bands, 2)).astype(np.float32) * _TILE
        gains = roughness ** np.arange(bands, dtype=np.float64)
        self.gains = gains / np.sqrt((gains**2).sum())

    def __call__(self, s: Array, t: Array, footprint: Array | float) -> Array:
        """Noise (h, w) at plane coordinates ``s``, ``t`` (broadcast to (h, w)), in the unit of ``wavelength``.

        ``footprint`` is the size of a pixel on the plane (broadcast likewise): bands too fine for it fade out.
        """
        shape = np.broadcast_shapes(s.shape, t.shape)
        total = np.zeros(shape, dtype=np.float32)
        for band, (tile, gain) in enumerate(zip(self.tiles, self.gains, strict=True)):
            wavelength = self.wavelength / 4.0**band
            fade = np.clip(0.25 * wavelength / np.asarray(footprint, dtype=np.float32) - 0.5, 0.0, 1.0)
            if not fade.any():
                break
            scale = np.float32(16.0 / wavelength)
            u, v = (_wrapped(plane, scale, offset) for plane, offset in zip((s, t), self.offsets[band], strict=True))
            value = cv2.remap(
                _tile(int(tile)),
                np.ascontiguousarray(np.broadcast_to(u, shape), dtype=np.float32),
                np.ascontiguousarray(np.broadcast_to(v, shape), dtype=np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_WRAP,
            )
            total += value * (fade * np.float32(gain))
        return total


def _wrapped(plane: Array, scale: np.float32, offset: np.float32) -> Array:
    """Texels in [0, 256) of plane coordinates."""
    texels = plane * scale
    texels += offset
    whole = texels * np.float32(1 / _TILE)
    np.floor(whole, out=whole)
    whole *= np.float32(_TILE)
    texels -= whole
    return np.asarray(texels, dtype=np.float32)


def pulses(position: Array, period: float, width: float, footprint: Array | float) -> Array:
    """A pulse train averaged over the pixel: 1 within ``width`` around the middle of each ``period``, else 0."""
    phase = position * np.float32(1.0 / period)
    phase = np.abs(phase - np.floor(phase) - np.float32(0.5)) * np.float32(period)
    size = np.asarray(footprint, dtype=np.float32)
    sharp = np.clip((width / 2 - phase) / size + 0.5, 0.0, 1.0)
    fine = np.clip(size / period * 2.0 - 0.5, 0.0, 1.0)  # periods below about two pixels melt into their mean
    return np.asarray(sharp + fine * (width / period - sharp), dtype=np.float32)


def ramp(value: Array, low: float, high: float) -> Array:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)
