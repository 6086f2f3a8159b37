"""Colour spaces against colour-science, and a camera's matrix against LibRaw."""

from __future__ import annotations

import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from hdr.ops.primaries import (
    CHROMATICITIES,
    adaptation_matrix,
    apply_matrix,
    camera_to_rgb,
    conversion_matrix,
    convert_primaries,
    daylight_balance,
    rgb_to_xyz_matrix,
    white_xyz,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour

NAMES = {
    "rec709": "ITU-R BT.709",
    "rec2020": "ITU-R BT.2020",
    "display_p3": "Display P3",
    "acescg": "ACEScg",
    "aces2065_1": "ACES2065-1",
}
# XYZ (D65) to the camera RGB of a Nikon D5000, as in DNG files of that camera.
CAMERA = torch.tensor([[0.7309, -0.1403, -0.0519], [-0.8474, 1.6008, 0.2622], [-0.2433, 0.2826, 0.8064]])


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).exp2() * 3 - 0.5


@pytest.mark.parametrize("space", NAMES)
def test_matrices_to_xyz_agree_with_colour_science(space: str) -> None:
    expected = colour.RGB_COLOURSPACES[NAMES[space]]
    np.testing.assert_allclose(CHROMATICITIES[space][:6], expected.primaries.ravel())
    # ACES2065-1 comes with a matrix of ten digits; the others are derived.
    np.testing.assert_allclose(rgb_to_xyz_matrix(space), expected.matrix_RGB_to_XYZ, atol=1e-10)


@pytest.mark.parametrize(("source", "target"), list(product(NAMES, NAMES)))
def test_conversions_agree_with_colour_science_and_keep_white(source: str, target: str) -> None:
    spaces = [colour.RGB_COLOURSPACES[NAMES[name]] for name in (source, target)]
    expected = colour.matrix_RGB_to_RGB(*spaces, chromatic_adaptation_transform="Bradford")
    matrix = conversion_matrix(source, target)
    np.testing.assert_allclose(matrix, expected, atol=5e-10)
    np.testing.assert_allclose(matrix.sum(dim=1), 1.0, atol=1e-14)
    there_and_back = convert_primaries(convert_primaries(picture(2, 3, 5, 7), source, target), target, source)
    torch.testing.assert_close(there_and_back, picture(2, 3, 5, 7), rtol=1e-12, atol=1e-12)


def test_published_matrix_from_rec709_to_rec2020() -> None:
    """Rec. ITU-R BT.2087-0, equation 6."""
    published = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    np.testing.assert_allclose(conversion_matrix("rec709", "rec2020"), published, atol=6e-5)


def test_adaptation_agrees_with_colour_science() -> None:
    whites = [white_xyz((0.34567, 0.35850)), white_xyz((0.3127, 0.3290))]
    expected = colour.adaptation.matrix_chromatic_adaptation_VonKries(*(w.numpy() for w in whites), "Bradford")
    np.testing.assert_allclose(adaptation_matrix(*whites), expected, atol=1e-14)


def test_apply_matrix_is_a_product_per_pixel_for_one_matrix_or_one_per_picture() -> None:
    image, matrices = picture(3, 3, 5, 7), picture(3, 3, 3, seed=1)
    expected = torch.einsum("nij,njhw->nihw", matrices, image)
    torch.testing.assert_close(apply_matrix(image, matrices), expected)
    torch.testing.assert_close(apply_matrix(image, matrices[1])[1], expected[1])
    torch.testing.assert_close(apply_matrix(image[1], matrices[1]), expected[1])
    arguments = (image[:2, :, :2, :2].clone().requires_grad_(), matrices[:2].clone().requires_grad_())
    assert torch.autograd.gradcheck(apply_matrix, arguments)


def test_hdr_negative_and_half_float_extremes_survive_and_nan_stays_in_its_pixel() -> None:
    values = torch.tensor([65504.0, -65504.0, 6e-8, 0.0, float("nan"), 1.0]).expand(1, 3, 1, 6)
    result = convert_primaries(values, "rec2020", "rec709")
    assert result.dtype == torch.float32
    assert result.isnan().any(dim=1).flatten().tolist() == [False, False, False, False, True, False]
    torch.testing.assert_close(result[..., :4], values[..., :4], rtol=1e-5, atol=0)
    green = torch.tensor([0.0, 2.0, 0.0]).view(1, 3, 1, 1)
    assert convert_primaries(green, "rec2020", "rec709").min() < -0.2


def test_camera_matrix_undoes_the_camera_and_keeps_white() -> None:
    light = picture(1, 3, 4, 5)
    seen = apply_matrix(light, CAMERA.double() @ rgb_to_xyz_matrix("rec709"))
    white = CAMERA.double() @ white_xyz((0.3127, 0.3290))
    balanced = seen / white[:, None, None]
    torch.testing.assert_close(apply_matrix(balanced, camera_to_rgb(CAMERA)), light, rtol=1e-10, atol=1e-10)
    for space in NAMES:
        np.testing.assert_allclose(camera_to_rgb(CAMERA, space).sum(dim=1), 1.0, atol=1e-13)
    wide = apply_matrix(balanced, camera_to_rgb(CAMERA, "acescg"))
    torch.testing.assert_close(wide, convert_primaries(light, "rec709", "acescg"), rtol=1e-10, atol=1e-10)


def test_camera_matrix_agrees_with_libraw(shared_data: Path) -> None:
    import rawpy

    with rawpy.imread(str(shared_data / "raw-bracket-nikon-d5000/1-160s.dng")) as raw:
        from_xyz, expected = raw.rgb_xyz_matrix[:3], raw.color_matrix[:, :3]
    # LibRaw has the matrix of sRGB with six digits, for a white that differs in the fourth.
    np.testing.assert_allclose(camera_to_rgb(torch.tensor(from_xyz)), expected, atol=5e-4)


def test_daylight_balance_makes_daylight_grey() -> None:
    seen = CAMERA.double() @ white_xyz((0.3127, 0.3290))
    balance = daylight_balance(CAMERA)
    balanced = seen * torch.tensor(balance, dtype=torch.float64)
    np.testing.assert_allclose(balanced, float(seen.max()), rtol=1e-12)
    assert min(balance) == 1.0


def test_daylight_balance_agrees_with_libraw(shared_data: Path) -> None:
    import rawpy

    with rawpy.imread(str(shared_data / "raw-bracket-nikon-d5000/1-160s.dng")) as raw:
        from_xyz, expected = raw.rgb_xyz_matrix[:3], np.array(raw.daylight_whitebalance[:3])
    found = daylight_balance(torch.tensor(from_xyz))
    np.testing.assert_allclose(found, expected / expected.min(), rtol=1e-3)


def test_user_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"rec709.*got 'srgb'"):
        convert_primaries(picture(1, 3, 2, 2), "srgb", "rec709")
    with pytest.raises(ValueError, match="8 chromaticities"):
        rgb_to_xyz_matrix((0.3, 0.3))
    with pytest.raises(ValueError, match="span no colour space"):
        rgb_to_xyz_matrix((0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.3127, 0.329))
    with pytest.raises(ValueError, match="no luminance"):
        white_xyz((0.3, 0.0))
    with pytest.raises(ValueError, match=r"shape \(3, 3\)"):
        camera_to_rgb(torch.ones(4, 3))
    with pytest.raises(ValueError, match=r"shape \(3, 3\)"):
        daylight_balance(torch.ones(4, 3))
    with pytest.raises(ValueError, match="gives white the camera values"):
        daylight_balance(torch.zeros(3, 3))
    with pytest.raises(ValueError, match="gives white the camera values"):
        camera_to_rgb(torch.zeros(3, 3))
    with pytest.raises(ValueError, match="cannot be inverted"):
        camera_to_rgb(torch.ones(3, 3))
