from __future__ import annotations

import datetime
import logging
from pathlib import Path

import pytest

from hdr.data.shoots.writing import write_brackets
from hdr.errors import UserError
from tasks.exposure_selection.brackets import read_bracket
from tasks.exposure_selection.finding import bracket_in, find_brackets
from tests.tasks.exposure_selection.photographed import START, exposed, scene_light, write_bracket, write_frame

LATER = START + datetime.timedelta(minutes=3)


def names(paths: object) -> list[str]:
    assert isinstance(paths, tuple | list)
    return [path.stem[-1] for path in paths]


def test_a_folder_per_bracket(tmp_path: Path) -> None:
    write_bracket(tmp_path / "a", (0.0, -2.0, 2.0))
    write_bracket(tmp_path / "b" / "c", (-1.0, 1.0))
    write_bracket(tmp_path / ".hidden")
    found = find_brackets(tmp_path)
    assert [(bracket.name, len(bracket.paths), bracket.known) for bracket in found] == [
        ("a", 3, True),
        ("b/c", 2, True),
    ]
    assert bracket_in(tmp_path / "a") == list(found[0].paths)
    assert bracket_in(tmp_path / "b") is None


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp", ".JPG"])
def test_every_format_tells(tmp_path: Path, suffix: str) -> None:
    write_bracket(tmp_path, (0.0, 2.0, 0.0), suffix=suffix)
    (found,) = find_brackets(tmp_path)
    assert found.known
    assert names(found.paths) == ["1", "2"]


def test_virtual_shoots(tmp_path: Path) -> None:
    """DNGs of made-up cameras, whose exposures are what their settings say."""
    records = write_brackets(tmp_path, count=2, evs=(-2.0, 0.0, 2.0), size=96, seed=3)
    found = find_brackets(tmp_path)
    assert [bracket.name for bracket in found] == [record.id for record in records]
    for bracket, record in zip(found, records, strict=True):
        evs = read_bracket(bracket.paths).stack.evs
        meant = sorted(shot["ev"] for shot in record.metadata["exposures"].values())
        assert [ev - evs[1] for ev in evs] == pytest.approx([ev - meant[1] for ev in meant], abs=2e-3)


def test_runs_end_with_a_pause(tmp_path: Path) -> None:
    write_bracket(tmp_path, (-2.0, 0.0), start=LATER, first=1)
    write_bracket(tmp_path, (2.0, 4.0), start=START, first=3)
    found = find_brackets(tmp_path)
    assert [names(bracket.paths) for bracket in found] == [["3", "4"], ["1", "2"]]  # by time, not by name
    assert found[0].name == f"{tmp_path.name}/IMG_0003"
    assert [names(bracket.paths) for bracket in find_brackets(tmp_path, gap=200.0)] == [["3", "4", "1", "2"]]
    assert bracket_in(tmp_path) is None


def test_the_pause_begins_when_the_exposure_ends(tmp_path: Path) -> None:
    write_bracket(tmp_path, (0.0, -2.0), seconds=25.0, pause=30.0)
    assert len(find_brackets(tmp_path)) == 1
    assert not find_brackets(tmp_path, gap=4.0)


def test_an_exposure_that_comes_again_begins_a_new_bracket(tmp_path: Path) -> None:
    write_bracket(tmp_path, (0.0, -2.0, 2.0, 0.0, -2.0, 2.0), pause=0.0)
    assert [names(bracket.paths) for bracket in find_brackets(tmp_path)] == [["1", "2", "3"], ["4", "5", "6"]]


def test_another_camera_begins_a_new_bracket(tmp_path: Path) -> None:
    write_bracket(tmp_path, (0.0, 2.0))
    write_frame(tmp_path / "IMG_0003.exr.png", exposed(scene_light(), 4.0), None, taken=None)
    assert [names(bracket.paths) for bracket in find_brackets(tmp_path)] == [["1", "2"]]


def test_a_lone_photo_is_no_bracket(tmp_path: Path) -> None:
    write_bracket(tmp_path, (0.0,))
    write_bracket(tmp_path, (0.0,), start=LATER, first=2)
    assert find_brackets(tmp_path) == []


def test_without_times_of_capture_names_decide(tmp_path: Path) -> None:
    for index, ev in enumerate((0.0, 2.0, 0.0, 2.0)):
        write_frame(tmp_path / f"{index}.png", exposed(scene_light(), ev), 0.01 * 2**ev, taken=None)
    assert [names(bracket.paths) for bracket in find_brackets(tmp_path)] == [["0", "1"], ["2", "3"]]


def test_without_exposures_a_folder_is_one_bracket_of_unknown_ones(tmp_path: Path) -> None:
    for index, ev in enumerate((0.0, 2.0)):
        write_frame(tmp_path / f"{index}.png", exposed(scene_light(), ev), None)
    (found,) = find_brackets(tmp_path)
    assert not found.known
    assert names(found.paths) == ["0", "1"]
    assert bracket_in(tmp_path) is None


def test_a_raw_stands_for_its_jpeg(tmp_path: Path) -> None:
    write_bracket(tmp_path, (0.0, 2.0), suffix=".jpg")
    raw = tmp_path / "IMG_0001.dng"
    raw.write_bytes(b"no RAW at all")
    assert find_brackets(tmp_path) == []  # the JPEG of the pair does not stand in
    assert bracket_in(tmp_path) is None


def test_damaged_files_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_bracket(tmp_path, (0.0, 2.0))
    (tmp_path / "text.jpg").write_bytes(b"hello")
    with caplog.at_level(logging.WARNING):
        (found,) = find_brackets(tmp_path)
    assert names(found.paths) == ["1", "2"]
    assert "text.jpg" in caplog.text
    frames = bracket_in(tmp_path)
    assert frames is not None
    assert tmp_path / "text.jpg" in frames


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this is none"):
        find_brackets(tmp_path / "nowhere")
