"""Sensor captures in the cache: what is read back is what the camera measured, in whatever part."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdr.data.cache import Entry, entry_path, read_index, write_entry
from hdr.data.captures import bin_samples, describe_sensor, read_binned, read_capture
from hdr.data.decode import SensorDecode
from hdr.data.manifest import Record
from hdr.data.photos import manifest_photos
from hdr.data.prepare import prepare
from hdr.errors import UserError
from hdr.io.sensor import PATTERNS, SensorImage, binned, read_sensor
from hdr.ops.sensor import mosaic
from tests.data.photographs import photo
from tests.data.sensors import CAPTURE, capture, dng


def stored(folder: Path, image: SensorImage, *, binned: bool) -> Path:
    """An entry as :class:`SensorDecode` makes it."""
    path = entry_path(folder, "00aa")
    tensor = bin_samples(image) if binned else image.samples
    write_entry(path, "00aa", {"input": tensor}, {"sensor": {"input": describe_sensor(image, binned=binned)}})
    return path


def equal(one: object, other: object) -> bool:
    return (
        torch.equal(one, other) if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) else one == other
    )


def test_every_fact_survives(tmp_path: Path) -> None:
    image = capture(source=tmp_path)
    bare = dataclasses.replace(image, white_balance=None, colour_matrix=None, noise_profile=None, capture_time=None)
    for number, made in enumerate((image, bare)):
        with Entry(stored(tmp_path / str(number), made, binned=False)) as entry:
            found = read_capture(entry)
        for field in dataclasses.fields(SensorImage):
            if field.name != "source":
                assert equal(getattr(found, field.name), getattr(made, field.name)), field.name
        assert found.source is None


def test_a_window_keeps_the_phase_of_the_mosaic(tmp_path: Path) -> None:
    rows, columns = torch.meshgrid(torch.arange(40), torch.arange(60), indexing="ij")
    colours = torch.stack([rows + 1000.0, columns + 2000.0, rows + columns + 3000.0])[None]
    for pattern in PATTERNS:
        samples = mosaic(colours, pattern)[0, 0].to(torch.int32).to(torch.uint16)
        image = dataclasses.replace(CAPTURE, samples=samples, pattern=pattern)
        path = stored(tmp_path / pattern, image, binned=False)
        for window in ((0, 0, 40, 60), (6, 14, 16, 20), (38, 58, 2, 2), (2, 4, 7, 9)):
            top, left, height, width = window
            part = colours[..., top : top + height, left : left + width]
            with Entry(path) as entry:
                found = read_capture(entry, window)
            assert found.pattern == pattern
            assert torch.equal(found.samples.to(torch.float32), mosaic(part, pattern)[0, 0])
    with Entry(path) as entry:
        for window in ((1, 0, 4, 4), (0, 3, 4, 4)):
            with pytest.raises(ValueError, match="starts at even rows and columns"):
                read_capture(entry, window)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(PATTERNS), st.integers(2, 9), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_binning_is_the_mean_of_the_greens(pattern: str, height: int, width: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(0, 65536, (height, width), dtype=np.uint16)
    image = dataclasses.replace(CAPTURE, samples=torch.from_numpy(samples), pattern=pattern, white_level=65535)
    planes = bin_samples(image)
    assert planes.shape == (3, height // 2, width // 2)
    for y in range(height // 2):
        for x in range(width // 2):
            block = dict.fromkeys("RGB", Fraction(0))
            for site, colour in enumerate(pattern):
                value = int(samples[2 * y + site // 2, 2 * x + site % 2])
                block[colour] += Fraction(value, 2 if colour == "G" else 1)
            assert [int(planes[c, y, x]) for c in range(3)] == [round(block[colour]) for colour in "RGB"]


def test_binned_light_agrees_with_the_reader_of_files(tmp_path: Path) -> None:
    image = capture((41, 61), seed=3)
    with Entry(stored(tmp_path, image, binned=True)) as entry:
        found, part = read_binned(entry), read_binned(entry, (3, 5, 8, 10))
    # half a sensor value by rounding; the greens share one black level here, 4 of 3932 values lie between theirs there
    torch.testing.assert_close(found.linear(), binned(image), rtol=4 / 3932, atol=0.51 / 3932)
    assert torch.equal(part.linear(), found.linear()[:, 3:11, 5:15])
    assert found.black_level == (65.0, 66.0, 66.0)
    assert found.noise_profile == ((1e-4, 1e-6), (1e-4, 1e-6), (3e-4, 3e-6))
    assert (found.exposure_time, found.make, found.orientation) == (0.01, "Maker", 6)
    assert found.colour_matrix is not None
    assert torch.equal(found.colour_matrix, image.colour_matrix)


def test_noise_below_black_stays_below_zero(tmp_path: Path) -> None:
    image = dataclasses.replace(CAPTURE, samples=torch.full((4, 4), 20, dtype=torch.uint16))
    with Entry(stored(tmp_path, image, binned=True)) as entry:
        assert (read_binned(entry).linear() < 0).all()


def test_the_wrong_reader_and_role_are_told(tmp_path: Path) -> None:
    with Entry(stored(tmp_path, capture(), binned=True)) as entry:
        with pytest.raises(UserError, match=r"captures of input \(binned\); 'input' was wanted as .* decode=sensor "):
            read_capture(entry)
        with pytest.raises(UserError, match="'merged' was wanted as mode=prepare decode=sensor_binned"):
            read_binned(entry, role="merged")


def test_a_raw_file_is_prepared_with_its_pictures(tmp_path: Path) -> None:
    """RAW roles become sensor values, others photos; the facts are those that the reader of files finds."""
    files = {"merged": dng(tmp_path / "m.dng", seed=1), "final": photo(tmp_path / "f.png", 7)}
    summary = prepare([Record(id="a", paths=files)], tmp_path / "cache", SensorDecode())
    assert (summary.written, summary.failed) == (1, {})
    (record,) = read_index(tmp_path / "cache")
    told = record.metadata["cache"]["sensor"]["merged"]
    assert (told["exposure_time"], told["aperture"], told["iso"], told["model"]) == (0.01, 4.0, 200.0, "Model 1")
    assert {decision["action"] for decision in told["decisions"]} == {"ok"}
    assert told["level"]["clipped"] == 0.0
    with Entry(record.paths["cache"]) as entry:
        assert entry.facts["pixels"]["final"]["encoding"] == "display"
        found, direct = read_capture(entry, role="merged"), read_sensor(files["merged"])
    for field in dataclasses.fields(SensorImage):
        if field.name != "source":
            assert equal(getattr(found, field.name), getattr(direct, field.name)), field.name
    dataset = manifest_photos(summary.index, roles=("merged",))
    with pytest.raises(UserError, match="holds sensor values, not photos; prepare the source with decode=photos"):
        dataset.sample(0, np.random.default_rng(0))


def test_the_two_ways_of_decoding_are_told_apart(tmp_path: Path) -> None:
    tensors, facts = SensorDecode(binned=True)({"input": dng(tmp_path / "a.dng")})
    assert (tensors["input"].dtype, tuple(tensors["input"].shape)) == (torch.uint16, (3, 20, 30))
    assert facts["sensor"]["input"]["binned"]
    assert SensorDecode(binned=True).parameters != SensorDecode().parameters


def test_a_frame_whose_exposure_is_not_true_is_marked(tmp_path: Path) -> None:
    """Four frames of a scene, one of which states an eighth of the time that it was exposed for."""
    paths = {
        f"frame_{number}": dng(tmp_path / f"{number}.dng", seed=number, gain=gain, exposure_time=stated)
        for number, (gain, stated) in enumerate([(1.0, 0.01), (2.0, 0.02), (4.0, 0.04), (2.0, 0.0025)])
    }
    sensors = SensorDecode()(paths)[1]["index"]["sensor"]
    last = {role: sensor["decisions"][-1] for role, sensor in sensors.items()}
    assert {role: decision["rule"] for role, decision in last.items()} == dict.fromkeys(paths, "level_agrees")
    assert [last[f"frame_{number}"]["action"] for number in range(4)] == ["ok", "ok", "ok", "fallback"]
