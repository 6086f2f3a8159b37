"""Merging two real brackets: three RAW files of a Nikon D5000, three 8-bit pictures with EXIF times."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from hdr.data.response_basis import shipped_basis
from hdr.io import read_image
from hdr.io.sensor import read_sensor
from hdr.ops.bayer import bin_mosaic
from hdr.ops.colour import luminance
from hdr.ops.crf import apply_curve
from hdr.ops.encoding import srgb_to_linear
from hdr.ops.merge import merge_exposures
from hdr.ops.response_recovery import recover_inverse_curves
from hdr.ops.sensor import normalise

# RAW -----------------------------------------------------------------------------------------------------------------


def motion(moving: np.ndarray, fixed: np.ndarray, ceiling: float) -> np.ndarray:
    """Rotation and shift (2, 3) that lay ``moving`` on ``fixed``: both light on one scale, cut at ``ceiling``."""
    logarithms = [np.log(np.clip(image, 1e-3, ceiling)) for image in (fixed, moving)]
    start = np.eye(2, 3, dtype=np.float32)
    return cv2.findTransformECC(logarithms[0], logarithms[1], start, cv2.MOTION_EUCLIDEAN, (3, 50, 1e-6), None, 5)[1]


@pytest.fixture(scope="module")
def nikon(shared_data: Path) -> tuple[Tensor, Tensor]:
    """Frames (1, 3, 3, H, W), 1.0 = saturation, laid over the middle one, and times.

    The camera was held by hand: frames lie about 2 and 3 binned pixels apart, the last turned by 0.06 degrees. Where a
    frame has no pixel it is NaN.
    """
    images = [read_sensor(shared_data / "raw-bracket-nikon-d5000" / f"1-{name}s.dng") for name in (640, 160, 40)]
    frames = []
    for image in images:
        samples = image.samples.to(torch.int32)[None, None]
        linear = normalise(samples, image.black_level, image.white_level)
        frames.append(bin_mosaic(linear, image.pattern)[0].permute(1, 2, 0).numpy())
    times = torch.tensor([image.exposure_time for image in images])
    height, width = frames[1].shape[:2]
    for k in (0, 2):
        gain = float(times[1] / times[k])
        ceiling = 0.9 * min(1.0, gain)
        moved = motion(frames[k][..., 1] * gain, frames[1][..., 1], ceiling)
        frames[k] = cv2.warpAffine(
            frames[k],
            moved,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(np.nan,) * 3,
        )
    stack = torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in frames])[None]
    return stack[..., ::2, ::2].contiguous(), times


def test_sensor_data_follow_the_shutter(nikon: tuple[Tensor, Tensor]) -> None:
    stack, times = nikon
    print()
    for (a, b), nominal, measured in (((0, 1), 4.0, 3.95), ((1, 2), 4.0, 4.2)):
        assert float(times[b] / times[a]) == pytest.approx(nominal)
        short, long = stack[0, a], stack[0, b]
        valid = (short > 0.02) & (long < 0.93)
        ratio = (long / short)[valid]
        low, middle, high = np.percentile(ratio.numpy(), [25, 50, 75])
        print(f"frames {a} and {b}: {valid.float().mean():.1%} valid, ratio {middle:.3f} ({low:.3f} to {high:.3f})")
        assert middle == pytest.approx(nominal, rel=0.06)  # a shutter's tolerance
        assert middle == pytest.approx(measured, abs=0.05)
        assert high / low < 1.08


@pytest.mark.parametrize("domain", ["linear", "log"])
def test_merged_radiance_is_that_of_each_frame(nikon: tuple[Tensor, Tensor], domain: str) -> None:
    stack, times = nikon
    merged = merge_exposures(stack, times, domain=domain, white=0.93, black=0.002)  # type: ignore[arg-type]
    assert torch.isfinite(merged).all()
    assert bool((merged >= 0).all())
    print()
    for k, limits in enumerate((0.05, 0.05, 0.05)):
        frame, expected = stack[0, k], merged[0] * times[k]
        valid = (frame > 0.02) & (frame < 0.93)
        stops = (frame / expected)[valid].log2()
        low, middle, high = np.percentile(stops.numpy(), [5, 50, 95])
        print(f"{domain}, frame {k}: {valid.float().mean():.1%} valid, {middle:+.3f} stops ({low:+.3f} to {high:+.3f})")
        assert abs(middle) < limits
        assert high - low < 0.6
    # where the longer frames are clipped only the shortest speaks
    alone = (stack[0, 1] > 0.93) & (stack[0, 2] > 0.93) & (stack[0, 0] < 0.93)
    assert float(alone.float().mean()) > 0.005
    torch.testing.assert_close(merged[0][alone], (stack[0, 0] / times[0])[alone], rtol=1e-5, atol=0)


# 8 bits --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parliament(shared_data: Path) -> tuple[Tensor, Tensor]:
    photos = [read_image(shared_data / "bracket-parliament" / f"parliament_{k}.png") for k in range(3)]
    return torch.stack([photo.pixels for photo in photos])[None], torch.tensor(
        [photo.metadata.exposure_time for photo in photos]
    )


def agreement(found: Tensor, expected: Tensor, valid: Tensor) -> tuple[float, float, float]:
    """Correlation of log luminance, and after the medians are matched: RMSE and median distance in stops."""
    x, y = (luminance(image)[0, 0][valid].double().log2() for image in (found, expected))
    stops = (x - y) - (x - y).median()
    correlation = torch.corrcoef(torch.stack([x, y]))[0, 1]
    return float(correlation), float(stops.square().mean().sqrt()), float(stops.abs().median())


def well_exposed(stack: Tensor) -> Tensor:
    return ((stack > 0.02) & (stack < 0.98)).all(2).any(1)[0]


def test_the_response_is_recovered_from_the_bracket(parliament: tuple[Tensor, Tensor]) -> None:
    """With it the frames' light has the ratio of their times; with sRGB's curve it has not."""
    stack, times = parliament
    recovered = recover_inverse_curves(stack, times)
    standard = srgb_to_linear(torch.linspace(0, 1, 1024))[None, None]
    for a, b in ((0, 1), (1, 2)):
        valid = (stack[:, a] > 0.05) & (stack[:, b] < 0.95)
        nominal = float(times[b] / times[a])
        for curves, tolerance in ((recovered, 0.02), (standard, None)):
            ratio = float((apply_curve(stack[:, b], curves) / apply_curve(stack[:, a], curves))[valid].median())
            if tolerance is None:
                assert abs(ratio / nominal - 1) > 0.1
            else:
                assert ratio == pytest.approx(nominal, rel=tolerance)
    basis = shipped_basis("inverse").first(11)
    fine = torch.nn.functional.interpolate(recovered, size=1024, mode="linear", align_corners=True)[0]
    assert float((basis.nearest(fine) - fine).square().mean(-1).sqrt().max()) < 2e-3


def test_against_other_programs(parliament: tuple[Tensor, Tensor], shared_data: Path) -> None:
    """GEGL's merge is met to a twentieth of a stop; parliament.hdr has nearly twice the contrast of any of them."""
    stack, times = parliament
    valid = well_exposed(stack)
    assert float(valid.float().mean()) > 0.99
    folder = shared_data / "bracket-parliament"
    given, gegl = (read_image(folder / name).pixels[None] for name in ("parliament.hdr", "gegl-exp-combine.hdr"))
    standard = srgb_to_linear(torch.linspace(0, 1, 1024))[None, None]
    print()
    for name, inverse, limits in (
        ("sRGB", standard, (0.98, 0.17, 0.13)),
        ("recovered", recover_inverse_curves(stack, times), (0.99, 0.16, 0.05)),
    ):
        merged = merge_exposures(stack, times, inverse=inverse, domain="log", black=0.02)
        correlation, rmse, middle = agreement(merged, gegl, valid)
        print(f"{name}: GEGL {correlation:.4f}, {rmse:.3f} stops, median {middle:.3f}", end="; ")
        assert correlation > limits[0]
        assert rmse < limits[1]
        assert middle < limits[2]
        correlation, rmse, _ = agreement(merged, given, valid)
        print(f"parliament.hdr {correlation:.4f}, {rmse:.3f} stops")
        assert correlation > 0.98
        assert rmse < 0.9


def test_against_opencv(parliament: tuple[Tensor, Tensor]) -> None:
    """With the same response OpenCV differs by its weights alone: it weights the three channels of a pixel alike."""
    stack, times = parliament
    images = [np.ascontiguousarray((frame.permute(1, 2, 0) * 255).round().byte().numpy()) for frame in stack[0]]
    response = srgb_to_linear(torch.arange(256).clamp(min=1) / 255).numpy()[:, None, None].repeat(3, 2)
    theirs = cv2.createMergeDebevec().process(images, times.numpy(), response).transpose(2, 0, 1)
    standard = srgb_to_linear(torch.linspace(0, 1, 1024))[None, None]
    ours = merge_exposures(stack, times, inverse=standard, domain="log", white=1.0)
    correlation, rmse, _ = agreement(ours, torch.from_numpy(theirs.copy())[None], well_exposed(stack))
    assert correlation > 0.9995
    assert rmse < 0.03
