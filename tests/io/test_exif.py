"""EXIF blocks: edited in place, read the same by Pillow."""

from __future__ import annotations

import pytest
from PIL import ExifTags, Image

from hdr.io import exif
from tests.io.made import exif_block


def by_pillow(block: bytes) -> Image.Exif:
    found = Image.Exif()
    found.load(b"Exif\0\0" + block)
    return found


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_made_block_reads_as_pillow_reads_it(order: str) -> None:
    block = exif_block(order)
    theirs = by_pillow(block)
    assert (theirs[0x010F], theirs[0x0112]) == ("Acme", 6)
    assert 0x0201 in theirs.get_ifd(ExifTags.IFD.IFD1)
    directories = exif.read_directories(block)
    assert exif.orientation(directories, order) == 6
    assert exif.facts(directories, order) == {
        "make": "Acme",
        "exposure_time": float(theirs.get_ifd(0x8769)[0x829A]),
        "aperture": float(theirs.get_ifd(0x8769)[0x829D]),
        "iso": 400,
    }
    assert not exif.is_adobe_rgb(directories)
    assert exif.is_adobe_rgb(exif.read_directories(exif_block(order, interoperability=b"R03\0")))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("thumbnail", [b"\xff\xd8thumb\xff\xd9", b""])
def test_editing_changes_only_what_it_says(order: str, thumbnail: bytes) -> None:
    before = exif_block(order, thumbnail=thumbnail, interoperability=b"R03\0")
    after = exif.edit(before, width=70000, height=33, now_srgb=True)
    theirs = by_pillow(after)
    inner = theirs.get_ifd(0x8769)
    assert theirs[0x0112] == 1
    assert (inner[0xA001], inner[0xA002], inner[0xA003]) == (1, 70000, 33)
    assert theirs.get_ifd(0xA005)[1] == "R98"
    assert theirs.get_ifd(ExifTags.IFD.IFD1) == {}
    assert b"thumb" not in after
    note = b"maker note, position-dependent "
    assert after.index(note) == before.index(note)
    assert sum(a != b for a, b in zip(before, after, strict=False)) <= 1 + 3 + 1 + 2 + 2 + 4
    assert exif.edit(after, width=70000, height=33, now_srgb=True) == after


def test_editing_leaves_the_colour_space_of_unconverted_pixels() -> None:
    after = by_pillow(exif.edit(exif_block(), width=1, height=1, now_srgb=False))
    assert after.get_ifd(0x8769)[0xA001] == 0xFFFF


def test_a_thumbnail_in_the_middle_is_blanked() -> None:
    before = exif_block() + b"the maker note goes on here"
    after = exif.edit(before, width=1, height=1, now_srgb=False)
    assert b"thumb" not in after
    assert after.endswith(b"the maker note goes on here")
    assert len(after) == len(before)


@pytest.mark.parametrize("order", ["<", ">"])
def test_assembled_blocks_hold_all_but_the_maker_note(order: str) -> None:
    assembled = exif.assemble(exif.read_directories(exif_block(order)), order)
    assert assembled is not None
    theirs = by_pillow(assembled)
    inner = theirs.get_ifd(0x8769)
    assert (theirs[0x010F], inner[0x8827], float(inner[0x829A])) == ("Acme", 400, 1 / 250)
    assert theirs.get_ifd(0xA005)[1] == "R98"
    assert 0x0112 not in theirs
    assert 0x927C not in inner


def test_composed_values_come_back() -> None:
    values = {exif.ARTIST: "Åse", exif.EXPOSURE_TIME: 1 / 3, exif.F_NUMBER: 2.8, exif.ISO: 99999}
    assembled = exif.assemble(exif.compose(values), "<")
    assert assembled is not None
    found = exif.facts(exif.read_directories(assembled), "<")
    assert found == {"exposure_time": pytest.approx(1 / 3, abs=1e-6), "aperture": 2.8, "iso": 65535}


@pytest.mark.parametrize("zero", [b"\0" * 8, b"\1\0\0\0" + b"\0" * 4])
def test_zero_and_undefined_exposure_count_as_unknown(zero: bytes) -> None:
    block = bytearray(exif_block())
    block[328:336] = zero
    assert exif.facts(exif.read_directories(bytes(block)), "<")["exposure_time"] is None


@pytest.mark.parametrize("length", range(0, 50, 7))
def test_cut_off_blocks_raise_the_one_error(length: int) -> None:
    with pytest.raises(exif.DamagedExif):
        exif.read_directories(exif_block()[:length])


def test_directories_that_point_at_themselves_end() -> None:
    block = bytearray(exif_block())
    block[8 + 2 + 24 + 8] = 8  # the pointer to the Exif directory now points to IFD0
    exif.read_directories(bytes(block))


def test_a_thumbnail_that_claims_the_rest_of_the_block_is_not_believed() -> None:
    block = bytearray(exif_block())
    entry = 260 + 2  # offset of the thumbnail, first field of IFD1
    block[entry + 8 : entry + 12] = bytes((8, 0, 0, 0))
    after = exif.edit(bytes(block), width=1, height=1, now_srgb=False)
    assert exif.facts(exif.read_directories(after), "<")["make"] == "Acme"
