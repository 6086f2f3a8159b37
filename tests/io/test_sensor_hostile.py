"""Damaged and hostile RAW files: one UserError that names the file, little memory, no time."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hdr.errors import UserError
from hdr.io import exif, tiff_tags
from hdr.io.sensor import SensorImage, read_sensor
from tests.io.made_sensor import flat_mosaic, sensor_dng

LEVELS = {"R": 1000, "G": 2000, "B": 3000}
REAL = ("raw/canon-d30.crw", "raw/canon-eos30d-iso100.cr2", "raw/kodak-dc50.kdc", "raw-bracket-nikon-d5000/1-640s.dng")


def made(path: Path) -> bytes:
    stored = flat_mosaic(40, 60, "RGGB", LEVELS)
    sensor_dng(path, stored, tags=[(50714, 5, 1, (64, 1), True), (33434, 5, 1, (1, 50), True)])
    return path.read_bytes()


def refused_or_read(path: Path) -> SensorImage | None:
    """The image, or None when it was refused with a message that names the file."""
    message = ""
    try:
        return read_sensor(path)
    except UserError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert len(message) < 400
    return None


def test_a_dng_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    content = made(tmp_path / "whole.dng")
    path = tmp_path / "x.dng"
    for length in np.random.default_rng(0).integers(0, len(content) - 1, 20):
        path.write_bytes(content[:length])
        assert refused_or_read(path) is None, length


@pytest.mark.parametrize("name", REAL)
def test_real_files_cut_off_anywhere_are_refused(tmp_path: Path, shared_data: Path, name: str) -> None:
    content = (shared_data / name).read_bytes()
    path = tmp_path / Path(name).name
    shares = np.random.default_rng(1).uniform(0, 1, 20)
    for share in [*shares, 0.02, 0.04]:  # at the last two the header of the Nikon is whole and its tiles are missing
        path.write_bytes(content[: int(share * len(content))])
        assert refused_or_read(path) is None, share


def test_flipped_bits_of_the_header_never_escape(tmp_path: Path) -> None:
    content = made(tmp_path / "whole.dng")
    offset = struct.unpack("<I", content[4:8])[0]
    end = offset + 2 + 12 * struct.unpack("<H", content[offset : offset + 2])[0] + 200
    generator = np.random.default_rng(2)
    path = tmp_path / "x.dng"
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(content)
        for position in generator.integers(offset, min(end, len(content)), 3):
            damaged[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        outcomes.add(refused_or_read(path) is None)
    assert outcomes == {True, False}


@pytest.mark.parametrize("name", REAL)
def test_flipped_bits_of_real_headers_never_escape(tmp_path: Path, shared_data: Path, name: str) -> None:
    content = (shared_data / name).read_bytes()
    generator = np.random.default_rng(3)
    path = tmp_path / Path(name).name
    for _ in range(6):
        damaged = bytearray(content)
        for position in generator.integers(0, 2000, 8):
            damaged[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        refused_or_read(path)


@pytest.mark.parametrize("suffix", [".dng", ".cr2", ".nef", ".crw", ".arw", ".kdc"])
@pytest.mark.parametrize("content", [b"", b"\0", b"II*\0", b"II*\0\x08\0\0\0", b"text" * 99, bytes(4096)])
def test_what_is_no_raw_at_all_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    assert refused_or_read(path) is None


def test_missing_files_folders_and_headerless_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.dng").mkdir()
    (tmp_path / "plain.raw").write_bytes(bytes(1000))
    for name, reason in (
        ("gone.dng", "no such file"),
        ("folder.dng", "this is a folder"),
        ("plain.raw", "this .raw file has no header"),
    ):
        with pytest.raises(UserError, match=reason):
            read_sensor(tmp_path / name)


@pytest.mark.parametrize(("width", "height"), [(60000, 60000), (65000, 5000), (30000, 13000), (2**31, 2**31), (0, 40)])
def test_absurd_dimensions_are_refused_before_memory_is_taken(tmp_path: Path, width: int, height: int) -> None:
    content = bytearray(made(tmp_path / "whole.dng"))
    offset = struct.unpack("<I", content[4:8])[0]
    for position in range(offset + 2, offset + 2 + 12 * struct.unpack_from("<H", content, offset)[0], 12):
        tag = struct.unpack_from("<H", content, position)[0]
        if tag in (256, 257):
            struct.pack_into("<HII", content, position + 2, 4, 1, width if tag == 256 else height)
    path = tmp_path / "x.dng"
    path.write_bytes(content)
    tracemalloc.start()
    assert refused_or_read(path) is None
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("tag", "kind", "value"), [(None, 1, 0), (exif.EXIF_POINTER, 4, 8), (tiff_tags.SUB_DIRECTORIES, 4, 8)]
)
def test_directories_that_overlap_or_loop_end_soon(tmp_path: Path, tag: int | None, kind: int, value: int) -> None:
    """65535 fields that each claim the whole file, or that each point back to their own directory."""
    path = tmp_path / "x.dng"
    size = 8 + 2 + 12 * 65535 + 4
    fields = b"".join(
        struct.pack("<HHII", index if tag is None else tag, kind, size if tag is None else 1, value)
        for index in range(65535)
    )
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 65535) + fields + struct.pack("<I", 8))
    found, order = tiff_tags.directories(path)
    assert (len(found), order) == (1, "<")
    assert sum(len(entry.data) for entry in found[0].values() if isinstance(entry, exif.Entry)) <= size
    assert refused_or_read(path) is None


def test_tags_with_impossible_values_count_as_missing(tmp_path: Path) -> None:
    tags = [
        (50713, 3, 2, (0, 9), True),
        (50730, 10, 1, (0, 0), True),
        (51041, 12, 2, (float("nan"), -1.0), True),
        (50778 + 1, 5, 1, (0, 0), True),
        (36867, 2, 20, "0000:99:00 xx:00:00", True),
        (33434, 5, 1, (1, 0), True),
    ]
    sensor_dng(tmp_path / "x.dng", flat_mosaic(40, 60, "RGGB", LEVELS), matrix=np.zeros((3, 3)), tags=tags)
    image = read_sensor(tmp_path / "x.dng")
    assert (image.black_level, image.baseline_exposure, image.noise_profile) == ((0, 0, 0, 0), 0.0, None)
    assert (image.colour_matrix, image.capture_time, image.exposure_time) == (None, None, None)


@pytest.mark.parametrize(("black", "white"), [(4095, 4095), (5000, 4095)])
def test_levels_out_of_order_are_refused(tmp_path: Path, black: int, white: int) -> None:
    stored = flat_mosaic(40, 60, "RGGB", LEVELS)
    sensor_dng(tmp_path / "x.dng", stored, white=white, tags=[(50714, 3, 1, black, True)])
    with pytest.raises(UserError, match=rf"x\.dng: its levels are damaged: black {black} and white {white}"):
        read_sensor(tmp_path / "x.dng")
