"""Demosaicing against filters written out in float64, OpenCV, LibRaw and colours that it must keep."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
import torch

from hdr.ops.bayer import PATTERNS, Demosaicing, demosaic, mosaic
from tests.ops.test_bayer import SIZES, light

METHODS: tuple[Demosaicing, ...] = get_args(Demosaicing)

# Malvar, He and Cutler 2004, figure 2, in eighths.
GREEN = np.array([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]])
IN_ROW = np.array([[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]])
OPPOSITE = np.array([[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]])

BILINEAR_GREEN = np.array([[0, 2, 0], [2, 0, 2], [0, 2, 0]])
BILINEAR_IN_ROW = np.array([[0, 0, 0], [4, 0, 4], [0, 0, 0]])
BILINEAR_OPPOSITE = np.array([[2, 0, 2], [0, 0, 0], [2, 0, 2]])

FILTERS = {
    "malvar": (GREEN, IN_ROW, OPPOSITE),
    "bilinear": tuple(np.pad(k, 1) for k in (BILINEAR_GREEN, BILINEAR_IN_ROW, BILINEAR_OPPOSITE)),
}


def bordered(plane: np.ndarray) -> np.ndarray:
    """Two more on each side: the outermost pair of rows, then of columns, repeats."""
    rows = np.concatenate([plane[:2], plane, plane[-2:]])
    return np.concatenate([rows[:, :2], rows, rows[:, -2:]], 1)


def by_filters(plane: np.ndarray, pattern: str, method: Demosaicing) -> np.ndarray:
    """Site by site: which colour is measured, which is in this row, and the filter of each missing colour."""
    green, in_row, opposite = FILTERS[method]
    wide, result = bordered(plane), np.zeros((3, *plane.shape))
    for row in range(plane.shape[0]):
        for column in range(plane.shape[1]):
            here, beside = (pattern[2 * (row % 2) + (column + step) % 2] for step in (0, 1))
            for channel, wanted in enumerate("RGB"):
                if wanted == here:
                    result[channel, row, column] = plane[row, column]
                    continue
                if here == "G":
                    weights = in_row if wanted == beside else in_row.T
                else:
                    weights = green if wanted == "G" else opposite
                result[channel, row, column] = (wide[row : row + 5, column : column + 5] * weights).sum() / 8
    return result


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", SIZES)
def test_every_site_borders_included(pattern: str, method: Demosaicing, size: tuple[int, int]) -> None:
    sites = light(size)[:, :1]
    expected = np.stack([by_filters(item[0], pattern, method) for item in sites.numpy()])
    found = demosaic(sites, pattern, method)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)
    single = demosaic(sites.float(), pattern, method)
    np.testing.assert_allclose(single.numpy(), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_bilinear_is_that_of_opencv_in_the_interior(pattern: str) -> None:
    sites = np.random.default_rng(1).integers(0, 65536, (31, 46), dtype=np.uint16)
    expected = cv2.cvtColor(sites, getattr(cv2, f"COLOR_Bayer{pattern}2RGB")).astype(np.float64).transpose(2, 0, 1)
    found = demosaic(torch.from_numpy(sites.astype(np.float64))[None, None], pattern, "bilinear")[0].numpy()
    difference = np.abs(found - expected)[:, 1:-1, 1:-1]
    assert difference.max() <= 0.5  # of 65535: OpenCV rounds


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [(12, 14), (13, 15)])
def test_constant_colours_everywhere_and_ramps_inside_are_exact(
    pattern: str, method: Demosaicing, size: tuple[int, int]
) -> None:
    constant = torch.tensor([0.2, 7.0, -0.3], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, *size)
    assert torch.allclose(demosaic(mosaic(constant, pattern), pattern, method), constant, rtol=0, atol=1e-14)
    y, x = torch.meshgrid(*(torch.arange(float(n), dtype=torch.float64) for n in size), indexing="ij")
    ramp = torch.stack([3 + 0.5 * x - 0.2 * y, 10 - x + 2 * y, 0.1 * x + 0.7 * y])[None]
    found = demosaic(mosaic(ramp, pattern), pattern, method)
    assert torch.allclose(found[..., 2:-2, 2:-2], ramp[..., 2:-2, 2:-2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_what_was_measured_stays_and_highlights_survive(method: Demosaicing) -> None:
    linear = light((21, 18)).float() * 1000
    for pattern in PATTERNS:
        sites = mosaic(linear, pattern)
        assert torch.equal(mosaic(demosaic(sites, pattern, method), pattern), sites)


def test_malvar_beats_bilinear_on_a_picture() -> None:
    """The paper reports about 5 dB; a picture whose colours share their detail, as real ones do."""
    generator = torch.Generator().manual_seed(4)
    detail = torch.nn.functional.interpolate(torch.rand((1, 1, 24, 24), generator=generator), (96, 96), mode="bicubic")
    tint = torch.nn.functional.interpolate(torch.rand((1, 3, 4, 4), generator=generator), (96, 96), mode="bicubic")
    linear = detail * (0.5 + tint)
    errors = {
        method: (demosaic(mosaic(linear, "RGGB"), "RGGB", method) - linear).square().mean().item() for method in METHODS
    }
    assert errors["malvar"] < errors["bilinear"] / 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(2, 3), (5, 4)])
def test_gradients_are_exact(method: Demosaicing, size: tuple[int, int]) -> None:
    sites = light(size)[:, :1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: demosaic(x, "GBRG", method), sites)


@pytest.mark.parametrize(("method", "reach"), [("malvar", 2), ("bilinear", 1)])
def test_what_is_not_finite_stays_near(method: Demosaicing, reach: int) -> None:
    sites = light((15, 13))[:, :1]
    expected = demosaic(sites, "RGGB", method)
    sites[0, 0, 7, 6] = torch.nan
    found = demosaic(sites, "RGGB", method)
    near = torch.zeros((15, 13), dtype=torch.bool)
    near[7 - reach : 8 + reach, 6 - reach : 7 + reach] = True
    assert torch.equal(found[..., ~near], expected[..., ~near])
    assert torch.equal(found[1], expected[1])


def test_what_cannot_be_demosaicked_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 x 2"):
        demosaic(torch.zeros(1, 1, 1, 8), "RGGB")
    with pytest.raises(ValueError, match="at least 2 x 2"):
        demosaic(torch.zeros(1, 3, 8, 8), "RGGB")
    with pytest.raises(ValueError, match="malvar or bilinear"):
        demosaic(torch.zeros(1, 1, 8, 8), "RGGB", "ahd")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="XTRANS"):
        demosaic(torch.zeros(1, 1, 8, 8), "XTRANS")


def test_bilinear_is_that_of_libraw_on_a_photograph(shared_data: Path) -> None:
    import rawpy

    with rawpy.imread(str(shared_data / "raw/canon-kissx4-colorchart.dng")) as raw:
        sites = raw.raw_image_visible.copy()
        pattern = "".join("RGBG"[colour] for colour in raw.raw_pattern.flatten())
        developed = raw.postprocess(
            demosaic_algorithm=rawpy.DemosaicAlgorithm.LINEAR,
            output_color=rawpy.ColorSpace.raw,
            gamma=(1, 1),
            no_auto_bright=True,
            no_auto_scale=True,
            user_black=0,
            user_wb=[1, 1, 1, 1],
            output_bps=16,
            user_flip=0,
        )
    found = demosaic(torch.from_numpy(sites.astype(np.float64))[None, None], pattern, "bilinear")[0].numpy()
    size = min(sites.shape[0], developed.shape[0]), min(sites.shape[1], developed.shape[1])
    difference = np.abs(found[:, : size[0], : size[1]] - developed.transpose(2, 0, 1)[:, : size[0], : size[1]])
    assert difference[:, 2:-2, 2:-2].max() <= 1.0  # LibRaw truncates
