"""Manifests: what is written is read, and what is wrong is named with its line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdr.data.manifest import Record, read_manifest, write_manifest
from hdr.errors import UserError


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_round_trip_keeps_every_field(tmp_path: Path) -> None:
    records = [
        Record(
            id="a/ü",
            paths={"input": tmp_path / "in" / "ü 1.png", "target": Path("/elsewhere/t.tif")},
            group="shoot",
            split="train",
            metadata={"ev": [-2.0, 0], "camera": {"iso": 100}},
            licence="CC0",
        ),
        Record(id="b", paths={"input": tmp_path / "b.png"}),
    ]
    write_manifest(tmp_path / "m.jsonl", records)
    assert read_manifest(tmp_path / "m.jsonl") == records
    assert records[1].group == "b"


def test_paths_below_the_folder_move_with_it(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    write_manifest(tmp_path / "one" / "m.jsonl", [Record(id="a", paths={"input": tmp_path / "one" / "x" / "a.png"})])
    (tmp_path / "one").rename(tmp_path / "two")
    assert read_manifest(tmp_path / "two" / "m.jsonl")[0].paths["input"] == tmp_path / "two" / "x" / "a.png"


def test_an_existing_manifest_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, [Record(id="a", paths={"input": tmp_path / "a.png"})])
    with pytest.raises(UserError, match=r"m\.jsonl: this file exists"):
        write_manifest(path, [])
    write_manifest(path, [], replace=True)
    assert read_manifest(path) == []


def test_a_failing_write_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    old = [Record(id="a", paths={"input": tmp_path / "a.png"})]
    write_manifest(path, old)
    unwritable = Record(id="b", paths={"input": tmp_path / "b.png"}, metadata={"ev": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(path, [*old, unwritable], replace=True)
    assert read_manifest(path) == old
    assert [p.name for p in tmp_path.iterdir()] == ["m.jsonl"]


GOOD = {"id": "a", "paths": {"input": "a.png"}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting property name"),
        ("[1, 2]", r"found \[1, 2\]; a line is one JSON object with the keys id, "),
        ("[" * 100_000, "recursion"),
        (
            {**GOOD, "splitt": "train"},
            "found the key 'splitt'; accepted keys are id, group, split, licence, paths, metadata",
        ),
        ({"paths": {"input": "a.png"}}, "'id' is missing; it must be a text"),
        ({**GOOD, "id": 3}, "'id' is 3"),
        ({**GOOD, "group": ""}, "'group' is \"\""),
        ({**GOOD, "paths": {}}, r"'paths' is \{\}; it must be an object of role and file"),
        ({**GOOD, "paths": ["a.png"]}, "'paths' is"),
        ({**GOOD, "paths": {"input": 1}}, "'paths' is"),
        ({**GOOD, "metadata": [1]}, "'metadata' is"),
        (GOOD, "the id 'a' stands in line 1 already"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, message: str) -> None:
    path = write_lines(tmp_path / "m.jsonl", GOOD, "", line)
    with pytest.raises(UserError, match=message) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}:3: ")


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: cannot read this manifest"):
        read_manifest(tmp_path / "none.jsonl")
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match="cannot read this manifest"):
        read_manifest(tmp_path / "m.jsonl")


names = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


rows = st.lists(
    st.tuples(names, names, st.dictionaries(names, values, max_size=3)), unique_by=lambda r: r[0], max_size=5
)


@settings(deadline=None)
@given(rows)
def test_any_text_and_json_value_survives(rows: list[tuple[str, str, dict[str, object]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.jsonl")
        records = [Record(id=a, group=b, paths={"input": path.parent / "a.png"}, metadata=c) for a, b, c in rows]
        write_manifest(path, records)
        assert read_manifest(path) == records
