"""HDR+: listing, choice and download from a bucket, and which bursts may not be torn apart."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from hdr.data.hdrplus import burst_groups, burst_records, hdrplus, split_bursts
from hdr.data.hdrplus_download import find_files, list_objects, main
from hdr.data.manifest import Record, read_manifest
from hdr.data.web import Patience
from hdr.errors import UserError
from tests.data.sensors import dng
from tests.data.server import Bucket, serving

QUICK = Patience(attempts=3, first_wait=0.001, longest_wait=0.002)
SHOOTS = [f"0006_2016072{day}_18150{second}_256" for day in range(8) for second in range(2)]
TESTED = SHOOTS[0]  # the subset: one burst of the first day


def bucket_of(bursts: list[str]) -> dict[str, bytes]:
    files = {}
    for burst in bursts:
        for archive in ("20171106", "20171106_subset") if burst == TESTED else ("20171106",):
            for name in ("bursts/{}/payload_N000.dng", "bursts/{}/payload_N001.dng", "bursts/{}/rgb2rgb.txt",
                         "bursts/{}/lens_shading_map_N000.tiff", "results_20171023/{}/merged.dng",
                         "results_20171023/{}/final.jpg", "results_20171023/{}/reference_frame.txt",
                         "results_20161014/{}/merged.dng"):  # fmt: skip
                files[f"{archive}/{name.format(burst)}"] = f"{burst} {name}".encode()
            files[f"{archive}/results_20171023/{burst}/reference_frame.txt"] = b"2\n"
            files[f"{archive}/bursts/{burst}/rgb2rgb.txt"] = b"1 2 3\n4 5 6\n7 8 9\n"
    return files


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(Bucket(files=bucket_of([*SHOOTS, "synthetic_ramp_256"]))) as made:
        yield made


def test_a_listing_comes_over_all_its_pages(bucket: Bucket) -> None:
    bucket.faults["storage/v1/b/hdrplusdata/o"] = ["", "503"]
    found = list(list_objects(bucket.address, "hdrplusdata", "20171106/bursts/", patience=QUICK))
    assert [entry["name"] for entry in found] == sorted(n for n in bucket.files if n.startswith("20171106/bursts/"))
    assert len(bucket.requests) == -(-len(found) // 3) + 1
    folders = list(list_objects(bucket.address, "hdrplusdata", "20171106/bursts/", "/", QUICK))
    assert [entry["prefix"] for entry in folders] == [f"20171106/bursts/{b}/" for b in [*SHOOTS, "synthetic_ramp_256"]]


def test_an_answer_that_is_no_listing_is_told(bucket: Bucket) -> None:
    bucket.faults["storage/v1/b/hdrplusdata/o"] = ["html"]
    with pytest.raises(UserError, match=r"the answer is no listing .* is there a proxy in between"):
        list(list_objects(bucket.address, "hdrplusdata", "x", patience=QUICK))


@pytest.mark.parametrize("limit", [None, 2])
def test_files_are_chosen_by_kind_and_charts_left_out(bucket: Bucket, tmp_path: Path, limit: int | None) -> None:
    items, subset = find_files(
        tmp_path, full=True, kinds=["merged", "frames"], limit=limit, host=bucket.address, patience=QUICK
    )
    names = [item.path.relative_to(tmp_path / "20171106").as_posix() for item in items]
    wanted = [
        f"{folder}/{burst}/{name}"
        for folder, files in (("bursts", ("payload_N000.dng", "payload_N001.dng", "rgb2rgb.txt")),
                              ("results_20171023", ("merged.dng", "reference_frame.txt")))
        for burst in SHOOTS[:limit] for name in files
    ]  # fmt: skip
    assert names == wanted
    assert subset == [TESTED]
    assert all(item.checksum and item.checksum[0] == "md5" and item.size for item in items)


def test_a_listing_that_leads_out_of_the_folder_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    name = f"20171106_subset/results_20171023/../../../{TESTED}/merged.dng"
    bucket.files[name] = b"x"
    with pytest.raises(UserError, match="leads out of the folder; nothing was fetched"):
        find_files(tmp_path, full=False, kinds=["merged"], limit=None, host=bucket.address, patience=QUICK)


def test_the_command_fetches_resumes_and_writes_a_manifest(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = f"20171106/results_20171023/{SHOOTS[3]}/final.jpg"
    bucket.faults = {gone: ["404"], f"20171106/results_20171023/{SHOOTS[5]}/merged.dng": ["corrupt", "drop"]}
    arguments = ["--output", str(tmp_path / "out"), "--full"]
    main([*arguments, "--list"], host=bucket.address)
    assert capsys.readouterr().out == "48 files, 0.00 GB; CC BY-SA, https://hdrplusdata.org/dataset.html\n"
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit) as ended:
        main(arguments, host=bucket.address)
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert "47 files fetched, 0 there already" in told.out
    assert told.err.startswith("1 files could not be fetched:")
    main(arguments, host=bucket.address)
    assert "1 files fetched, 47 there already" in capsys.readouterr().out
    manifest = tmp_path / "out" / "manifest.jsonl"
    records = read_manifest(manifest)
    # the other burst of the subset's day is in no split: it may not be trained on
    assert sorted(r.id for r in records) == [TESTED, *SHOOTS[2:]]
    assert [r.id for r in records if r.split == "test"] == [TESTED]
    assert {r.split for r in records} == {"train", "val", "test"}
    first = next(r for r in records if r.id == SHOOTS[4])
    assert (first.group, first.licence, first.metadata) == ("0006_20160722", "CC BY-SA", {"reference_frame": 2})
    assert first.paths.keys() == {"merged", "final"}
    assert all(path.is_file() for r in records for path in r.paths.values())
    main([*arguments[:2], "--limit", "1", "--files", "frames"], host=bucket.address)
    record = next(r for r in burst_records(tmp_path / "out")[0] if r.id == TESTED)
    assert record.paths.keys() == {"merged", "final"}  # the full archive's copy is the one that counts


def test_wrong_numbers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path), "--limit", "0"])
    assert "--limit and --workers are whole numbers from 1 on" in capsys.readouterr().err


def test_groups_are_days_or_shoots() -> None:
    bursts = ["33TJ_20150606_100000_001", "33TJ_20150606_100900_001", "33TJ_20150606_102000_001",
              "33TJ_20150607_102500_001", "5a9e_20150606_100000_001", "odd name"]  # fmt: skip
    days = ["33TJ_20150606", "33TJ_20150606", "33TJ_20150606", "33TJ_20150607", "5a9e_20150606", "odd name"]
    assert list(burst_groups(bursts).values()) == days
    shoots = [bursts[0], bursts[0], bursts[2], bursts[3], bursts[4], "odd name"]
    assert list(burst_groups(bursts, gap=10).values()) == shoots
    assert list(burst_groups(bursts, gap=11).values())[:3] == [bursts[0]] * 3


def test_what_shares_a_group_with_the_subset_is_not_trained_on(caplog: pytest.LogCaptureFixture) -> None:
    records = [Record(id=f"{day}-{k}", paths={}, group=f"day{day}") for day in range(20) for k in range(3)]
    caplog.set_level(logging.INFO)
    ratios = {"train": 0.8, "val": 0.1, "test": 0.1}
    divided = split_bursts(records, {"0-0", "1-2"}, ratios)
    assert {r.id for r in divided if r.split == "test"} == {"0-0", "1-2"}
    assert {r.group for r in divided if r.split != "test"} == {f"day{day}" for day in range(2, 20)}
    assert "4 bursts of the groups of the test subset are left out of training" in caplog.text
    alone = [record for record in records if record.group in ("day0", "day1")]
    assert {r.split for r in split_bursts(alone, {r.id for r in alone}, {"train": 0.5, "test": 0.5})} == {
        "train",
        "test",
    }


def test_downloaded_bursts_are_a_data_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, burst in enumerate(SHOOTS):
        folder = tmp_path / "20171106_subset"
        dng(folder / "results_20171023" / burst / "merged.dng", seed=number)
        (folder / "bursts" / burst).mkdir(parents=True)
    (folder / "bursts" / SHOOTS[0] / "rgb2rgb.txt").write_text("1 2 3\n4 5 6\n7 8 9\n")
    (folder / "results_20171023" / SHOOTS[1] / "merged.dng").unlink()
    (folder / "results_20171023" / SHOOTS[1] / "final.jpg").touch()
    shares = {"train": 0.4, "val": 0.3, "test": 0.3}
    parts = {split: hdrplus(tmp_path, split, ratios=shares) for split in shares}
    assert sum(map(len, parts.values())) == 15
    assert not set(parts["train"].groups) & {*parts["val"].groups, *parts["test"].groups}
    assert "1 bursts have no file for merged" in caplog.text
    everything = hdrplus(tmp_path, None, ratios=shares).records
    assert everything[0].metadata["rgb2rgb"] == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert {record.licence for record in everything} == {"CC BY-SA"}
    with pytest.raises(UserError, match="no burst has files for frame_000; found are final, merged"):
        hdrplus(tmp_path, roles=["frame_000"])


def test_a_missing_set_is_told_with_layout_and_command(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        hdrplus(tmp_path)
    for words in ("neither 20171106 nor 20171106_subset", "<root>/20171106_subset/results_20171023/<burst>/merged.dng",
                  "Get it with python -m hdr.data.hdrplus_download --output <root>", "CC BY-SA"):  # fmt: skip
        assert words in str(caught.value)
