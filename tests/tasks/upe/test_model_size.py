"""What the network sees of a photo, and that the photo's size in pixels does not change its tone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hdr.ops.colour import luminance
from hdr.ops.encoding import srgb_to_linear
from hdr.ops.resize import resize_antialiased
from tasks.upe.model import Enhancer
from tests.tasks.upe.variants import SMALL, picture, scramble, variant


def test_bilinear_thumbnail_is_opencvs() -> None:
    import cv2

    display = picture(1, 3, 61, 83)
    expected = cv2.resize(display[0].permute(1, 2, 0).numpy(), (32, 32), interpolation=cv2.INTER_LINEAR)
    found = variant("seed").thumbnail(display)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)  # OpenCV rounds its weights


def test_nearest_thumbnail_takes_the_pixel_below_the_centre() -> None:
    enhancer = Enhancer(network=SMALL, thumbnail="nearest")
    display = picture(1, 3, 96, 160)
    assert torch.equal(enhancer.thumbnail(display), display[:, :, 1::3, 2::5])


def test_smooth_thumbnail_is_a_binomial_of_the_antialiased_one() -> None:
    plain = Enhancer(network=SMALL, thumbnail="antialiased")
    display = picture(1, 3, 61, 83)
    small = np.pad(plain.thumbnail(display)[0].double().numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    expected = np.zeros((3, 32, 32))
    for dy, wy in enumerate((0.25, 0.5, 0.25)):
        for dx, wx in enumerate((0.25, 0.5, 0.25)):
            expected += wy * wx * small[:, dy : dy + 32, dx : dx + 32]
    np.testing.assert_allclose(Enhancer(network=SMALL).thumbnail(display)[0].numpy(), expected, atol=1e-6)


def _reductions(display: torch.Tensor, long_edge: int) -> list[torch.Tensor]:
    """The same photo made small in the ways that people and programs make photos small."""
    height, width = display.shape[2:]
    factor = long_edge / max(height, width)
    size = (round(height * factor), round(width * factor))
    bicubic = F.interpolate(display, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return [F.interpolate(display, size, mode="area"), resize_antialiased(display, size), bicubic]


def _tone(display: torch.Tensor) -> torch.Tensor:
    """Luminance in EV of a 64 x 64 reduction: what is left of a picture when its size no longer shows."""
    small = resize_antialiased(display, (64, 64))
    return luminance(srgb_to_linear(small)).clamp(min=1e-3).log2()


def _largest_size_difference(enhancer: Enhancer, photo: torch.Tensor) -> float:
    """Mean difference in EV between the results at full size and at 512 px, for the worst way to reduce the photo."""
    with torch.no_grad():
        full = _tone(enhancer(photo).output)
        return max(abs((_tone(enhancer(small).output) - full).mean().item()) for small in _reductions(photo, 512))


def _strong_enhancer(thumbnail: Any = "smooth") -> Enhancer:
    """Random but strong: its gains vary by stops with what it sees."""
    torch.manual_seed(11)
    enhancer = Enhancer(network={"histogram_bins": 16}, thumbnail=thumbnail).eval()
    scramble(enhancer, 0.2)
    return enhancer


def test_tone_does_not_depend_on_the_size_of_a_noisy_photo() -> None:
    generator = torch.Generator().manual_seed(2)
    scene = F.interpolate(torch.rand(1, 3, 9, 13, generator=generator), (960, 1440), mode="bicubic").clamp(0.02, 0.9)
    texture = 0.12 * torch.sin(torch.arange(1440) * 1.9) * torch.cos(torch.arange(960)[:, None] * 2.3)
    noise = 0.025 * torch.randn(1, 3, 960, 1440, generator=generator)
    photo = (scene * 0.5 + texture * scene + noise).clamp(0, 1)
    enhancer = _strong_enhancer()
    with torch.no_grad():
        assert enhancer(photo).field.std() > 0.3, "too weak to tell"
        found = enhancer.coefficients(photo)
        for small in _reductions(photo, 512):
            # Only the coefficients are compared: in the result, averaging noise before or after a gain is not the same.
            field = enhancer.render(small, found).field
            assert (enhancer(small).field - field).abs().mean() < 0.01
    assert _largest_size_difference(enhancer, photo) < 0.1


@pytest.mark.slow
def test_tone_does_not_depend_on_the_size_of_real_photos(shared_data: Path) -> None:
    from PIL import Image, ImageOps

    paths = sorted((shared_data / "camera-jpegs").rglob("*.jpg"))[::6] + sorted(
        (shared_data / "photos-cc0").glob("*.png")
    )
    assert paths
    enhancer = _strong_enhancer()
    for path in paths:
        pixels = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        photo = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
        if max(photo.shape[2:]) >= 900:
            assert _largest_size_difference(enhancer, photo) < 0.03, path.name
