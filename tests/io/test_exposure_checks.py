"""The rules for exposure facts: each on made fields, on the errors they were made for, and on real files."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hdr.errors import UserError
from hdr.io import exif, read_image
from hdr.io.exposure_checks import Decision, Exposure, check_exposure, exposure_value
from hdr.io.exposure_fields import ExposureFields, exposure_fields, read_exposure_fields
from hdr.io.exposure_levels import Level, judge_levels, measure_level
from hdr.io.sensor import SensorImage, read_sensor
from tests.io.made import exif_block

NEXUS = ExposureFields(
    exposure_time=163477 / 2**30,
    f_number=2.0,
    iso=61.0,
    shutter_speed_value=1268127 / 100000,
    brightness_value=340603 / 32768,
)


def fields(time: float, number: float, iso: float, **changes: Any) -> ExposureFields:
    """As a camera that makes no mistakes writes them."""
    tv, av = -math.log2(time), 2 * math.log2(number)
    known: dict[str, Any] = {
        "exposure_time": time,
        "f_number": number,
        "iso": iso,
        "shutter_speed_value": tv,
        "aperture_value": av,
        "brightness_value": av + tv - math.log2(iso / 3.125),
        "exposure_bias": 0.0,
    }
    return ExposureFields(**known | changes)


def actions(decisions: list[Decision]) -> dict[str, str]:
    return {decision.rule: decision.action for decision in decisions}


@given(st.floats(1.1e-6, 59), st.floats(0.7, 64), st.floats(1, 400000))
def test_what_is_true_passes_every_rule(time: float, number: float, iso: float) -> None:
    exposure, decisions = check_exposure(fields(time, number, iso))
    assert exposure == Exposure(exposure_time=time, aperture=number, iso=iso)
    assert set(actions(decisions).values()) == {"ok"}
    assert len(decisions) == 6
    assert exposure_value(exposure) == pytest.approx(2 * math.log2(number) - math.log2(time))


def test_the_nexus_6p() -> None:
    """Its EV is Av + Tv = 2 + 12.68. Taking ShutterSpeedValue for a time would give 2 - log2(12.68) = -1.66."""
    exposure, decisions = check_exposure(NEXUS)
    assert set(actions(decisions).values()) == {"ok"}
    assert exposure_value(exposure) == pytest.approx(14.68, abs=0.005)
    repaired, decisions = check_exposure(dataclasses.replace(NEXUS, exposure_time=None))
    assert actions(decisions)["exposure_time_range"] == "repaired"
    assert repaired.exposure_time == pytest.approx(1.5225e-4, rel=1e-3)


def test_an_f_number_is_a_fraction() -> None:
    """12/5 is f/2.4, not f/12: as a field of a file, and when a file states the numerator alone."""
    block = bytearray(exif_block("<"))
    assert exposure_fields(bytes(block)).f_number == 2.8
    block[336:344] = bytes([12, 0, 0, 0, 5, 0, 0, 0])
    found = exposure_fields(bytes(block))
    assert (found.f_number, found.exposure_time, found.iso) == (2.4, 1 / 250, 400)
    good = fields(1 / 50, 2.4, 100)
    exposure, decisions = check_exposure(dataclasses.replace(good, f_number=12.0))
    assert exposure.aperture == pytest.approx(2.4)
    assert actions(decisions)["aperture_agrees"] == "repaired", "BrightnessValue is on the side of ApertureValue"
    exposure, decisions = check_exposure(dataclasses.replace(good, f_number=12.0, brightness_value=None))
    assert (exposure.aperture, exposure.exposure_time) == (None, 1 / 50)
    assert actions(decisions)["aperture_agrees"] == "fallback"
    assert exposure_value(exposure) is None


@pytest.mark.parametrize("bad", [0.0, -1.0, 1e-6, 60.0, 3600.0, math.nan, math.inf, None])
def test_times_out_of_range(bad: float | None) -> None:
    exposure, decisions = check_exposure(fields(1 / 60, 4, 200, exposure_time=bad))
    assert exposure.exposure_time == pytest.approx(1 / 60)
    assert actions(decisions)["exposure_time_range"] == "repaired"
    for twin in (None, math.nan, 0.0, -7.0, 21.0):
        exposure, decisions = check_exposure(fields(1 / 60, 4, 200, exposure_time=bad, shutter_speed_value=twin))
        assert exposure == Exposure(exposure_time=None, aperture=4, iso=200)
        assert actions(decisions)["exposure_time_range"] == "fallback"


@pytest.mark.parametrize("bad", [0.0, -2.8, 0.69, 64.1, math.nan, None])
def test_f_numbers_out_of_range(bad: float | None) -> None:
    exposure, decisions = check_exposure(fields(1 / 60, 4, 200, f_number=bad))
    assert exposure.aperture == pytest.approx(4)
    assert actions(decisions)["aperture_range"] == "repaired"
    exposure, decisions = check_exposure(fields(1 / 60, 4, 200, f_number=bad, aperture_value=None))
    assert exposure.aperture is None
    assert actions(decisions)["aperture_range"] == "fallback"


@pytest.mark.parametrize(("difference", "action"), [(0.099, "ok"), (-0.099, "ok"), (0.101, "fallback")])
def test_twins_agree_within_a_tenth(difference: float, action: str) -> None:
    tv = math.log2(60) + difference
    decisions = check_exposure(fields(1 / 60, 4, 200, shutter_speed_value=tv))[1]
    assert actions(decisions)["shutter_speed_agrees"] == action
    av = 4 + difference
    decisions = check_exposure(fields(1 / 60, 4, 200, aperture_value=av))[1]
    assert actions(decisions)["aperture_agrees"] == action


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shutter_speed_value": 0.25}, "it repeats ExposureTime and is no logarithm"),
        ({"shutter_speed_value": 42.0}, "it is out of range"),
        ({"shutter_speed_value": math.nan}, "it is out of range"),
        ({"shutter_speed_value": 0.0}, "a placeholder"),
        ({"aperture_value": 8.0}, "it repeats FNumber and is no logarithm"),
        ({"aperture_value": -3.0}, "it is out of range"),
    ],
)
def test_wrong_twins_are_set_right(changes: dict[str, float], reason: str) -> None:
    exposure, decisions = check_exposure(fields(0.25, 8, 200, **changes))
    assert exposure == Exposure(exposure_time=0.25, aperture=8, iso=200)
    assert [decision.detail.split(";")[0] for decision in decisions if decision.action == "repaired"] == [reason]


def test_brightness_decides_between_two_times() -> None:
    good = fields(1 / 30, 5.6, 400)
    wrong_time = dataclasses.replace(good, exposure_time=1 / 500)
    exposure, decisions = check_exposure(wrong_time)
    assert exposure.exposure_time == pytest.approx(1 / 30)
    assert actions(decisions)["shutter_speed_agrees"] == "repaired"
    wrong_twin = dataclasses.replace(good, shutter_speed_value=9.0)
    exposure, decisions = check_exposure(wrong_twin)
    assert exposure.exposure_time == 1 / 30
    assert [d.action for d in decisions if d.rule == "shutter_speed_agrees"] == ["ok"]
    both = dataclasses.replace(wrong_time, f_number=16.0)
    assert check_exposure(both)[0].exposure_time == pytest.approx(1 / 30), "one of four combinations fits"
    assert check_exposure(both)[0].aperture == pytest.approx(5.6)


@pytest.mark.parametrize("bad", [0.0, -100.0, math.nan, math.inf, None])
def test_iso(bad: float | None) -> None:
    exposure, decisions = check_exposure(dataclasses.replace(fields(1 / 60, 4, 800), iso=bad))
    assert exposure.iso == pytest.approx(800)
    assert actions(decisions)["iso_positive"] == "repaired"
    for brightness, bias in ((None, 0.0), (1e9, 0.0), (-1e9, 0.0), (2.9, -1.0)):
        good = fields(1 / 60, 4, 800, brightness_value=brightness, exposure_bias=bias)
        exposure, decisions = check_exposure(dataclasses.replace(good, iso=bad))
        assert exposure == Exposure(exposure_time=1 / 60, aperture=4, iso=None)
        assert actions(decisions)["iso_positive"] == "fallback"


def test_brightness_with_exposure_compensation_and_manual_exposure() -> None:
    good = fields(1 / 60, 4, 200)
    assert good.brightness_value is not None
    for bias, offset, action in ((0.0, 0.4, "ok"), (-2.0, -2.0, "ok"), (-2.0, 0.0, "ok"), (0.0, 3.0, "fallback")):
        made = dataclasses.replace(good, exposure_bias=bias, brightness_value=good.brightness_value + offset)
        exposure, decisions = check_exposure(made)
        assert exposure == Exposure(exposure_time=1 / 60, aperture=4, iso=200), "the settings stand"
        assert actions(decisions)["brightness_agrees"] == action


values = st.none() | st.floats() | st.sampled_from([0.0, 1 / 60, 4.0, 200.0, 5.9])


@given(st.builds(ExposureFields, *[], **dict.fromkeys((f.name for f in dataclasses.fields(ExposureFields)), values)))
def test_any_fields_give_sound_facts_and_decisions_for_json(made: ExposureFields) -> None:
    exposure, decisions = check_exposure(made)
    assert exposure.exposure_time is None or 1e-6 < exposure.exposure_time < 60
    assert exposure.aperture is None or 0.7 <= exposure.aperture <= 64
    assert exposure.iso is None or 0 < exposure.iso < math.inf
    records = [dataclasses.asdict(decision) for decision in decisions]
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    assert len({decision.rule for decision in decisions}) >= 3


def test_levels_of_a_bracket_and_the_one_that_lies() -> None:
    times = (1 / 640, 1 / 160, 1 / 40, 1 / 10)
    exposures = [Exposure(exposure_time=time, aperture=6.3, iso=200) for time in times]
    levels = [Level(mean=0.01 * 4**index, clipped=0.0) for index in range(3)] + [Level(mean=0.3, clipped=0.4)]
    assert [decision.action for decision in judge_levels(levels, exposures)] == ["ok"] * 4, "clipped, not wrong"
    wrong = [*exposures[:2], dataclasses.replace(exposures[2], exposure_time=1 / 160), *exposures[3:]]
    assert [decision.action for decision in judge_levels(levels, wrong)] == ["ok", "ok", "fallback", "ok"]
    no_contacts = [dataclasses.replace(exposure, aperture=None) for exposure in wrong]
    assert [decision.action for decision in judge_levels(levels, no_contacts)] == ["ok", "ok", "fallback", "ok"]
    too_bright = [*exposures[:3], dataclasses.replace(exposures[3], exposure_time=1e-5)]
    assert judge_levels(levels, too_bright)[3].action == "quarantined", "wrong, and clipped: it cannot be metered"
    assert {decision.action for decision in judge_levels(levels[:2], wrong[1:3])} == {"ok"}, "two cannot be told apart"


def test_levels_without_facts_or_without_light() -> None:
    known = [Exposure(exposure_time=0.01, aperture=4, iso=100)] * 3
    unknown = Exposure(exposure_time=None, aperture=4, iso=100)
    levels = [Level(mean=0.2, clipped=0.0)] * 4
    decisions = judge_levels(
        [*levels, Level(mean=0.9, clipped=0.8), Level(mean=-0.001, clipped=0.0)], [*known, unknown, unknown, known[0]]
    )
    assert [decision.action for decision in decisions] == ["ok"] * 3 + ["fallback"] + ["quarantined"] * 2
    assert judge_levels([], []) == []


def test_level_of_an_image() -> None:
    # The Canon D30 saturates at 4060 to 4079 and LibRaw knows 4095 of it: 990 of 1000 is saturated, 970 is not.
    samples = np.array([[100, 201], [970, 403], [1000, 990], [100, 201]], np.uint16)
    image = SensorImage(
        samples=torch.from_numpy(samples), pattern="RGGB", black_level=(100, 101, 102, 103), white_level=1000
    )
    assert measure_level(image).clipped == 0.25
    assert measure_level(image).mean == pytest.approx((samples.mean() - 101.5) / (1000 - 101.5))


def test_real_files_pass_or_their_oddities_are_named(shared_data: Path) -> None:
    folder = shared_data / "raw-bracket-nikon-d5000"
    bracket = [folder / f"1-{time}s.dng" for time in (640, 160, 40)]
    sound = [shared_data / "raw" / f"canon-eos30d-iso{iso}.cr2" for iso in (100, 640)]
    judged = {path: check_exposure(read_exposure_fields(path)) for path in [*bracket, *sound]}
    for _, decisions in judged.values():
        assert set(actions(decisions).values()) == {"ok"}
        assert len(decisions) == 5, "with both twins, without BrightnessValue"
    assert exposure_value(judged[bracket[0]][0]) == pytest.approx(math.log2(6.3**2 * 640))
    levels = [measure_level(read_sensor(path)) for path in bracket]
    assert [decision.action for decision in judge_levels(levels, [judged[path][0] for path in bracket])] == ["ok"] * 3
    for name, time, number, iso in (("canon-d30.crw", 0.0049572, 10.952, 100), ("kodak-dc50.kdc", 0.00435, 6.2, 84)):
        found, decisions = check_exposure(read_exposure_fields(shared_data / "raw" / name))
        assert dataclasses.astuple(found) == pytest.approx((time, number, iso), rel=1e-4)
        assert [decision.action for decision in decisions] == ["ok"] * 3, "no twins to compare with"
    zeros, decisions = check_exposure(read_exposure_fields(shared_data / "raw" / "canon-kissx4-colorchart.dng"))
    assert dataclasses.astuple(zeros) == (None, None, None)
    assert [decision.action for decision in decisions] == ["fallback"] * 3, "all its fields are 0, the twins too"


@pytest.mark.parametrize(
    ("name", "oddities"),
    [
        ("dark/panasonic-dmc-lc40.jpg", {}),
        ("dark/nokia-lumia-800.jpg", {"iso_positive": "fallback"}),
        ("dark/fujifilm-mx-2900zoom.jpg", {"exposure_time_range": "repaired"}),
        ("dark/fujifilm-finepix4900zoom.jpg", {"exposure_time_range": "repaired", "brightness_agrees": "fallback"}),
        ("normal-bright/kyocera-fc-s3.jpg", {"exposure_time_range": "repaired", "aperture_range": "repaired"}),
        ("normal-bright/minolta-dimage-ex.jpg", {"shutter_speed_agrees": "fallback", "iso_positive": "fallback"}),
        ("normal-bright/sanyo-s1.jpg", {"brightness_agrees": "fallback"}),
    ],
)
def test_fields_of_camera_jpegs(shared_data: Path, name: str, oddities: dict[str, str]) -> None:
    block = read_image(shared_data / "camera-jpegs" / name).metadata.exif
    assert block is not None
    decisions = check_exposure(exposure_fields(block))[1]
    assert {rule: action for rule, action in actions(decisions).items() if action != "ok"} == oddities


def test_where_fields_are_not_read_from(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.jpg")
    with pytest.raises(UserError, match=r"x\.jpg: .*of this JPEG file, hand the EXIF block"):
        read_exposure_fields(tmp_path / "x.jpg")
    with pytest.raises(exif.DamagedExif):
        exposure_fields(b"II*\0")
