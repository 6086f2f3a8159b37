"""New Lightroom sidecars: the text of values, the container, what other programs read, what is never overwritten."""

from __future__ import annotations

import datetime
import json
import math
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdr.errors import UserError
from hdr.io.sidecar import TONE_SETTINGS, sidecar_text, write_sidecar

CRS = "{http://ns.adobe.com/camera-raw-settings/1.0/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
WHEN = datetime.datetime(2025, 3, 4, 21, 5, 6, 700, datetime.timezone(datetime.timedelta(hours=-3, minutes=-30)))
EDIT = {
    "Exposure2012": 0.345,
    "Contrast2012": 12.0,
    "Highlights2012": -47.5,
    "Shadows2012": 100.0,
    "Whites2012": -0.4,
    "Blacks2012": -100.0,
    "Saturation": 0.0,
}
WRITTEN = {
    "Exposure2012": "+0.35",
    "Contrast2012": "+12",
    "Highlights2012": "-48",
    "Shadows2012": "+100",
    "Whites2012": "0",
    "Blacks2012": "-100",
    "Vibrance": "0",
    "Saturation": "0",
}


def description(text: str) -> ET.Element:
    root = ET.fromstring(text)
    assert root.tag == "{adobe:ns:meta/}xmpmeta"
    (rdf,) = root
    assert rdf.tag == f"{RDF}RDF"
    (found,) = rdf
    assert found.tag == f"{RDF}Description"
    assert found.get(f"{RDF}about") == ""
    return found


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("Exposure2012", 0.35, "+0.35"),
        ("Exposure2012", -1.2, "-1.20"),
        ("Exposure2012", 0.0, "0.00"),
        ("Exposure2012", -0.0, "0.00"),
        ("Exposure2012", -0.004, "0.00"),
        ("Exposure2012", 0.005, "+0.01"),
        ("Exposure2012", -0.005, "-0.01"),
        ("Exposure2012", 1.005, "+1.01"),
        ("Exposure2012", 1e-20, "0.00"),
        ("Exposure2012", 5.004, "+5.00"),
        ("Contrast2012", 12, "+12"),
        ("Contrast2012", -0.5, "-1"),
        ("Contrast2012", 0.5, "+1"),
        ("Contrast2012", -0.49, "0"),
        ("Contrast2012", 2.5, "+3"),
        ("Shadows2012", 100, "+100"),
    ],
)
def test_values_are_written_as_lightroom_does(name: str, value: float, text: str) -> None:
    assert TONE_SETTINGS[name].text(value) == text


@given(st.sampled_from(sorted(TONE_SETTINGS)), st.floats(-200, 200))
def test_nearest_is_what_the_text_says(name: str, value: float) -> None:
    spec = TONE_SETTINGS[name]
    nearest = spec.nearest(value)
    assert spec.low <= nearest <= spec.high
    assert math.copysign(1.0, nearest) == 1.0 or nearest < 0
    assert float(spec.text(nearest)) == nearest
    assert (spec.text(nearest)[0] in "+-") == (nearest != 0)
    inside = min(max(value, spec.low), spec.high)
    assert abs(nearest - inside) <= spec.step / 2 * (1 + 1e-9)


@pytest.mark.parametrize("value", [5.006, -5.01, math.nan, math.inf])
def test_values_that_the_slider_cannot_take_are_refused(value: float) -> None:
    with pytest.raises(UserError, match="Exposure2012"):
        TONE_SETTINGS["Exposure2012"].text(value)


def test_nearest_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="Vibrance is nan"):
        TONE_SETTINGS["Vibrance"].nearest(math.nan)


def test_every_value_stands_in_its_namespace() -> None:
    text = sidecar_text(EDIT, "DSC00042.ARW", WHEN)
    assert text.startswith("<x:xmpmeta")
    found = description(text)
    for name, value in WRITTEN.items():
        assert found.get(CRS + name) == value
    assert found.get("{http://ns.adobe.com/photoshop/1.0/}SidecarForExtension") == "ARW"
    assert found.get("{http://ns.adobe.com/xap/1.0/}MetadataDate") == "2025-03-04T21:05:06-03:30"
    rest = {
        "Version": "15.4",
        "ProcessVersion": "15.4",
        "WhiteBalance": "As Shot",
        "CameraProfile": "Adobe Standard",
        "HasSettings": "True",
        "HasCrop": "False",
        "AlreadyApplied": "False",
        "RawFileName": "DSC00042.ARW",
    }
    assert {name: found.get(CRS + name) for name in rest} == rest
    assert len(found.attrib) == 1 + 2 + len(WRITTEN) + len(rest)


@pytest.mark.parametrize("name", ["a & b <1>.dng", "quote \"'.NEF", "Fête 写真 😀.cr3", "two.dots.RAF"])
def test_any_file_name_survives(name: str) -> None:
    assert description(sidecar_text({}, name, WHEN)).get(f"{CRS}RawFileName") == name


@pytest.mark.parametrize(
    "name", ["IMG_1", "folder/IMG_1.dng", "folder\\IMG_1.dng", "IMG\x00.dng", "\ud800.dng", "", ".dng"]
)
def test_names_that_no_raw_file_has_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="RAW file"):
        sidecar_text({}, name, WHEN)


def test_unknown_settings_and_dates_without_zone_are_refused() -> None:
    with pytest.raises(UserError, match="'Exposure'; accepted are Exposure2012, "):
        sidecar_text({"Exposure": 1.0}, "a.dng", WHEN)
    with pytest.raises(ValueError, match="time zone"):
        sidecar_text({}, "a.dng", WHEN.replace(tzinfo=None))


def test_a_file_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "IMG_1.xmp"
    write_sidecar(path, EDIT, "IMG_1.dng", WHEN)
    assert path.read_bytes() == sidecar_text(EDIT, "IMG_1.dng", WHEN).encode("utf-8")
    with pytest.raises(UserError, match="exists"):
        write_sidecar(path, {}, "IMG_1.dng", WHEN)
    assert path.read_bytes() == sidecar_text(EDIT, "IMG_1.dng", WHEN).encode("utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_broken_link_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "IMG_1.xmp"
    path.symlink_to(tmp_path / "elsewhere.xmp")
    with pytest.raises(UserError, match="exists"):
        write_sidecar(path, {}, "IMG_1.dng", WHEN)
    assert path.is_symlink()


@pytest.mark.parametrize(
    ("name", "message"), [("IMG_2.xmp", "IMG_1.xmp"), ("IMG_1.txt", "IMG_1.xmp"), ("no/IMG_1.xmp", "folder")]
)
def test_wrong_places_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_sidecar(tmp_path / name, {}, "IMG_1.dng", WHEN)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "IMG_1.xmp"
    write_sidecar(path, EDIT, "IMG_1.dng", WHEN)
    done = subprocess.run(
        ["exiftool", "-json", "-G1", "-validate", "-warning", "-a", str(path)],
        capture_output=True,
        check=True,
        text=True,
    )
    (found,) = json.loads(done.stdout)
    assert found["ExifTool:Validate"] == "OK"
    done = subprocess.run(["exiftool", "-json", "-n", "-G1", str(path)], capture_output=True, check=True, text=True)
    (found,) = json.loads(done.stdout)
    for name, value in WRITTEN.items():
        assert float(found[f"XMP-crs:{name}"]) == float(value), name
    assert found["XMP-crs:RawFileName"] == "IMG_1.dng"
    assert found["XMP-crs:AlreadyApplied"] is False
    assert found["XMP-crs:HasSettings"] is True
    assert found["XMP-photoshop:SidecarForExtension"] == "DNG"
    assert found["XMP-xmp:MetadataDate"] == "2025:03:04 21:05:06-03:30"
