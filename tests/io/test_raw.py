"""RAW: a DNG of known truth, real camera files, white balance, levels, metadata, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from hdr.errors import UserError
from hdr.io import read_image, write_image
from hdr.io.raw import white_balance
from tests.io.made import write_dng

NEUTRAL = (0.5, 1.0, 0.7)


def scene(height: int = 64, width: int = 96) -> NDArray[np.float64]:
    """Linear Rec. 709, smooth enough that interpolating the mosaic changes little."""
    y, x = np.mgrid[0:height, 0:width] / 100
    return np.stack((0.2 + 0.3 * x, 0.15 + 0.4 * y, 0.3 - 0.2 * x * y), axis=-1)


@pytest.mark.parametrize("half_size", [False, True])
@pytest.mark.parametrize(("black", "white"), [(0, 65535), (512, 16383)])
def test_known_colours_come_back(tmp_path: Path, black: int, white: int, half_size: bool) -> None:
    truth = scene()
    write_dng(tmp_path / "x.dng", truth, neutral=NEUTRAL, black=black, white=white)
    photo = read_image(tmp_path / "x.dng", half_size=half_size)
    found = photo.pixels.numpy().transpose(1, 2, 0)
    if half_size:  # one red, two green and one blue site per block
        green = (truth[0::2, 1::2, 1] + truth[1::2, 0::2, 1]) / 2
        truth = np.stack((truth[0::2, 0::2, 0], green, truth[1::2, 1::2, 2]), axis=-1)
    assert photo.encoding == "linear"
    assert found.shape == truth.shape
    inside = (slice(4, -4), slice(4, -4))
    assert np.abs(found - truth)[inside].max() < (2e-4 if half_size else 0.004), "one step between sites is 0.004"
    assert np.abs((found - truth)[inside].mean(axis=(0, 1))).max() < 2e-4


def test_one_is_saturation_and_nothing_is_brightened(tmp_path: Path) -> None:
    for level in (0.02, 0.3, 0.9):
        write_dng(tmp_path / "flat.dng", np.full((32, 32, 3), level), black=600, white=15000)
        found = read_image(tmp_path / "flat.dng").pixels
        assert (found - level).abs().max() < 1e-3, "the brightest pixel is not made white"
    write_dng(tmp_path / "burnt.dng", np.full((32, 32, 3), 50.0), black=600, white=15000)
    assert (read_image(tmp_path / "burnt.dng").pixels - 1).abs().max() < 1e-3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations(tmp_path: Path, orientation: int) -> None:
    truth = scene()
    write_dng(tmp_path / "x.dng", truth, orientation=orientation)
    photo = read_image(tmp_path / "x.dng", half_size=True)
    small = truth.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))
    turned = {
        1: small,
        2: np.fliplr(small),
        3: np.rot90(small, 2),
        4: np.flipud(small),
        5: small.transpose(1, 0, 2),
        6: np.rot90(small, -1),
        7: np.rot90(small, 2).transpose(1, 0, 2),
        8: np.rot90(small),
    }[orientation]
    assert np.abs(photo.pixels.numpy().transpose(1, 2, 0) - turned).max() < 0.004
    assert photo.metadata.orientation == orientation


def test_metadata_of_a_dng(tmp_path: Path) -> None:
    write_dng(tmp_path / "x.dng", scene(), black=512, white=16000)
    metadata = read_image(tmp_path / "x.dng").metadata
    assert (metadata.make, metadata.model) == ("Acme", "One")
    assert (metadata.exposure_time, metadata.aperture, metadata.iso) == (1 / 125, 5.6, 800)
    assert (metadata.format, metadata.bits) == ("raw", 16)
    assert metadata.xmp is not None
    assert metadata.xmp.startswith(b"<?xpacket")
    sensor = metadata.sensor
    assert sensor is not None
    assert sensor.white_balance == pytest.approx((2, 1, 1 / 0.7), rel=1e-5)
    assert (sensor.white_balance_source, sensor.black_level, sensor.white_level) == ("camera", (512,) * 4, 16000)


def test_white_balance_falls_back_to_daylight_and_then_to_none(tmp_path: Path) -> None:
    grey = np.full((32, 32, 3), 0.25)
    write_dng(tmp_path / "daylight.dng", grey, neutral=None)
    photo = read_image(tmp_path / "daylight.dng")
    assert photo.metadata.sensor is not None
    assert photo.metadata.sensor.white_balance_source == "daylight"
    assert photo.metadata.sensor.white_balance == pytest.approx((2, 1, 1 / 0.7), rel=0.01), "from the colour matrix"
    assert (photo.pixels - 0.25).abs().max() < 0.005
    write_dng(tmp_path / "none.dng", grey, neutral=None, matrix=False)
    bare = read_image(tmp_path / "none.dng")
    assert bare.metadata.sensor is not None
    assert bare.metadata.sensor.white_balance == (1, 1, 1)
    assert bare.metadata.sensor.white_balance_source == "unity"
    assert bare.pixels.mean(dim=(1, 2)).tolist() == pytest.approx([0.125, 0.25, 0.175], abs=2e-3), (
        "as the sensor saw it"
    )


@pytest.mark.parametrize("bad", [[-1, 1, 2.7, 0], [0, 0, 0, 0], [float("nan"), 1, 1, 0], [float("inf"), 1, 1, 0]])
def test_unusable_multipliers(bad: list[float]) -> None:
    assert white_balance(bad, [2, 1, 1.5, 0]) == ([2, 1, 1.5], "daylight")
    assert white_balance(bad, bad) == ([1, 1, 1], "unity")
    assert white_balance([2, 1, 3, 0], bad) == ([2, 1, 3], "camera")


def test_a_real_bracket_is_linear(shared_data: Path) -> None:
    """Two stops apart: unclipped values stand 4 to 1, as the published sensor values do (3.95)."""
    folder = shared_data / "raw-bracket-nikon-d5000"
    dark, middle = (read_image(folder / f"1-{time}s.dng", half_size=True) for time in (640, 160))
    assert middle.metadata.exposure_time / dark.metadata.exposure_time == 4  # type: ignore[operator]
    use = (middle.pixels.amax(dim=0) < 0.9) & (middle.pixels.amin(dim=0) > 0.2)
    assert use.float().mean() > 0.1
    ratio = (middle.pixels[:, use] / dark.pixels[:, use].clamp_min(1e-4)).median()
    assert 3.8 < ratio < 4.1
    assert dark.metadata.sensor is not None
    assert (dark.metadata.sensor.white_level, dark.metadata.sensor.black_level) == (3840, (0, 0, 0, 0))
    assert (dark.metadata.make, dark.metadata.model, dark.metadata.iso) == ("NIKON CORPORATION", "NIKON D5000", 200)


def test_old_cameras(shared_data: Path) -> None:
    crw = read_image(shared_data / "raw" / "canon-d30.crw", half_size=True)
    assert tuple(crw.pixels.shape) == (3, 724, 1088)
    assert crw.metadata.sensor is not None
    assert crw.metadata.sensor.white_balance_source == "daylight", "its own values hold a -1"
    assert crw.metadata.exposure_time == pytest.approx(1 / 202, rel=0.01)
    assert (crw.metadata.iso, crw.metadata.make) == (100, None)
    kdc = read_image(shared_data / "raw" / "kodak-dc50.kdc")
    assert (tuple(kdc.pixels.shape), kdc.metadata.make) == ((3, 512, 768), "Eastman Kodak Company")
    assert (kdc.metadata.exposure_time, kdc.metadata.iso) == (435 / 100000, 84)
    chart = read_image(shared_data / "raw" / "canon-kissx4-colorchart.dng", half_size=True)
    assert chart.metadata.exposure_time is None, "written as 0/1000000"


def test_headerless_sensor_data_is_refused(shared_data: Path) -> None:
    for path in sorted((shared_data / "raw" / "plain-bayer").glob("*.raw")):
        with pytest.raises(UserError, match=r"this \.raw file has no header"):
            read_image(path)


def test_exif_of_a_raw_travels_to_a_jpeg_but_its_develop_settings_do_not(tmp_path: Path, shared_data: Path) -> None:
    photo = read_image(shared_data / "raw-bracket-nikon-d5000" / "1-640s.dng", half_size=True)
    write_image(tmp_path / "x.jpg", photo.pixels[:, :40, :50].clamp(0, 1), encoding="display", metadata=photo.metadata)
    with Image.open(tmp_path / "x.jpg") as image:
        exif = image.getexif()
        assert (exif[0x010F], exif[0x0110]) == ("NIKON CORPORATION", "NIKON D5000")
        assert float(exif.get_ifd(0x8769)[0x829A]) == 1 / 640
        assert "xmp" not in image.info
        assert "icc_profile" not in image.info


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_truncated_raws_are_refused(tmp_path: Path, share: float) -> None:
    write_dng(tmp_path / "whole.dng", scene())
    content = (tmp_path / "whole.dng").read_bytes()
    (tmp_path / "x.dng").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"x.dng: this RAW file cannot be read: LibRaw says: "):
        read_image(tmp_path / "x.dng")


def test_other_content_under_a_raw_name(tmp_path: Path) -> None:
    (tmp_path / "x.nef").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(UserError, match="LibRaw says: Unsupported file format or not RAW file"):
        read_image(tmp_path / "x.nef")
    Image.fromarray(np.full((8, 8, 3), 77, np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "y.dng")
    assert read_image(tmp_path / "y.dng").metadata.format == "png"


def test_samples_are_16_bit_steps(tmp_path: Path) -> None:
    write_dng(tmp_path / "x.dng", scene())
    scaled = read_image(tmp_path / "x.dng").pixels * 65535
    assert (scaled - scaled.round()).abs().max() < 0.01
    assert torch.unique(scaled.round()).numel() > 1000
