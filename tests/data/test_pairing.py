"""Pairing: by name, whatever the extension, and an account of what is left over."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from hdr.data.pairing import group_of, pair_folders, pair_list
from hdr.errors import UserError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_pairs_by_stem_across_extensions_cases_and_folders(tmp_path: Path) -> None:
    touch(tmp_path, "input/a.dng", "input/Sub/IMG_1.JPG", "input/a0001-IMG.1234.png")
    touch(tmp_path, "target/A.tif", "target/sub/img_1.png", "target/a0001-IMG.1234.jpeg")
    records, report = pair_folders(tmp_path)
    assert [r.id for r in records] == ["a", "a0001-IMG.1234", "Sub/IMG_1"]
    assert [r.group for r in records] == ["a", "a0001-IMG.1234", "Sub"]
    assert records[2].paths == {"input": tmp_path / "input/Sub/IMG_1.JPG", "target": tmp_path / "target/sub/img_1.png"}
    assert report.complete
    assert report.pairs == 3


def test_unicode_forms_of_one_name_are_one_name(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "input/" + unicodedata.normalize("NFD", "Küche.png"),
        "target/" + unicodedata.normalize("NFC", "Küche.png"),
    )
    assert len(pair_folders(tmp_path)[0]) == 1


def test_the_report_names_what_is_left_over(tmp_path: Path) -> None:
    touch(tmp_path, "input/a.png", "input/b.png", "input/c.png", "input/c.tif", "input/d.txt", "input/.e.png")
    touch(tmp_path, "target/a.png", "target/c.png", "target/f.png", "target/Thumbs.db")
    records, report = pair_folders(tmp_path)
    assert [r.id for r in records] == ["a"]
    assert report.alone == {"input": ["b.png"], "target": ["f.png"]}
    assert report.duplicates == {"input": ["c.png", "c.tif"], "target": []}
    assert not report.complete
    assert str(report).splitlines() == [
        "1 pairs",
        "1 of input have no partner: b.png",
        "1 of target have no partner: f.png",
        "2 of input share a name with another file and were left out: c.png, c.tif",
    ]


def test_long_reports_are_shortened(tmp_path: Path) -> None:
    touch(tmp_path, "input/a.png", "target/a.png", *(f"input/x{i}.png" for i in range(9)))
    assert "9 of input have no partner: x0.png, x1.png, x2.png, x3.png, x4.png and 4 more" in str(
        pair_folders(tmp_path)[1]
    )


@pytest.mark.parametrize("target", ["expertC_gt", "output", "reflectance", "High", "Normal", "GT"])
def test_folders_of_other_projects(tmp_path: Path, target: str) -> None:
    touch(tmp_path, "input/a.png", f"{target}/a.png")
    assert pair_folders(tmp_path)[0][0].paths["target"] == tmp_path / target / "a.png"


def test_reflectance_is_the_target_where_output_is_there_too(tmp_path: Path) -> None:
    touch(tmp_path, "input/a.png", "output/a.png", "reflectance/a.png")
    assert pair_folders(tmp_path)[0][0].paths["target"].parent.name == "reflectance"


def test_any_number_of_roles_and_nested_folders(tmp_path: Path) -> None:
    touch(tmp_path, "in/8bit/a.png", "gt/a.png", "masks/a.png", "in/8bit/b.png", "gt/b.png")
    records, report = pair_folders(tmp_path, {"input": "in/8bit", "target": "gt", "mask": ["mask", "masks"]})
    assert [set(r.paths) for r in records] == [{"input", "target", "mask"}]
    assert report.alone == {"input": ["b.png"], "target": ["b.png"], "mask": []}


def test_a_pattern_finds_what_names_have_in_common(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "low/low00001.png",
        "low/low00002.png",
        "low/readme.png",
        "high/normal00001.png",
        "high/normal00002.png",
    )
    records, report = pair_folders(tmp_path, match=r"(\d+)$")
    assert [r.id for r in records] == ["00001", "00002"]
    assert report.unnamed == {"input": ["readme.png"], "target": []}
    assert "1 of input have a name that does not fit the pattern: readme.png" in str(report)


@pytest.mark.parametrize(("pattern", "message"), [("(", "not a regular expression"), ("a+", "has no group")])
def test_patterns_are_checked(tmp_path: Path, pattern: str, message: str) -> None:
    touch(tmp_path, "input/a.png", "target/a.png")
    with pytest.raises(UserError, match=message):
        pair_folders(tmp_path, match=pattern)
    with pytest.raises(UserError, match=message):
        pair_folders(tmp_path, group=pattern)


def test_groups(tmp_path: Path) -> None:
    assert group_of("a", None) == "a"
    assert group_of("shoot/day/a", None) == "shoot/day"
    assert group_of("scene12_ev-2", r"^(scene\d+)") == "scene12"
    assert group_of("other", r"^(scene\d+)") == "other"


def test_what_cannot_be_paired_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder called input or low in it \(that folder does not exist\)"):
        pair_folders(tmp_path / "none")
    touch(tmp_path, "Input/a.png", "results/b.png")
    with pytest.raises(UserError, match=r"no folder called target or .* in it \(it holds Input, results\)"):
        pair_folders(tmp_path)
    with pytest.raises(UserError, match=r"no photo has a partner of the same name \(1 photos in .*Input, 1 photos in"):
        pair_folders(tmp_path, {"input": "input", "target": "results"})


def test_list_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "input/a b.png", "input/c.tif", "output/a b.tif", "output/c.tif")
    (tmp_path / "filelist.txt").write_text("a b.png\nC.jpg\n")
    records = pair_list(tmp_path / "filelist.txt")
    assert [r.id for r in records] == ["a b", "C"]
    assert records[0].paths == {"input": tmp_path / "input/a b.png", "target": tmp_path / "output/a b.tif"}
    assert records[1].paths == {"input": tmp_path / "input/c.tif", "target": tmp_path / "output/c.tif"}


def test_list_of_paths(tmp_path: Path) -> None:
    touch(tmp_path, "x/s1/a.png", "y/b.tif", "x/s1/c.png", "y/d.tif")
    (tmp_path / "list.csv").write_text("x/s1/a.png, y/b.tif\nx/s1/c.png\ty/d.tif\n")
    records = pair_list(tmp_path / "list.csv", group=r"/(s\d)/")
    assert [r.paths["target"].name for r in records] == ["b.tif", "d.tif"]
    assert [(r.id, r.group) for r in records] == [("x/s1/a", "s1"), ("x/s1/c", "s1")]


def test_bad_lists(tmp_path: Path) -> None:
    touch(tmp_path, "input/a.png", "target/a.png")
    path = tmp_path / "list.txt"
    path.write_text("a.png\nb.png\n")
    with pytest.raises(UserError, match=r"list\.txt: entry 2 names .*input/b\.png, and there is no such file"):
        pair_list(path)
    path.write_text("input/a.png,target/a.png,x\n")
    with pytest.raises(
        UserError, match="entry 1 has 3 columns; it needs a name, or one path for each of input, target"
    ):
        pair_list(path)
