"""TFRecord files: framing, messages, and the import of HDR-Real, against writers spelled out here."""

from __future__ import annotations

import contextlib
import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdr.data.checksums import masked_crc32c
from hdr.data.hdr_images import hdr_real
from hdr.data.tfrecord import main, parse_example, read_tfrecord
from hdr.errors import UserError


def framed(*records: bytes) -> bytes:
    out = b""
    for record in records:
        length = struct.pack("<Q", len(record))
        out += length + struct.pack("<I", masked_crc32c(length)) + record + struct.pack("<I", masked_crc32c(record))
    return out


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(features: dict[str, bytes]) -> bytes:
    """An Example of features that are messages already."""
    return message(1, b"".join(message(1, message(1, k.encode()) + message(2, v)) for k, v in features.items()))


def byte_list(*values: bytes) -> bytes:
    return message(1, b"".join(message(1, value) for value in values))


def test_records_come_as_they_were_written(tmp_path: Path) -> None:
    records = [b"", b"one", bytes(100_000)]
    for compress in (bytes, gzip.compress):
        (tmp_path / "x.tfrecords").write_bytes(compress(framed(*records)))
        assert list(read_tfrecord(tmp_path / "x.tfrecords")) == records
    (tmp_path / "empty").write_bytes(b"")
    assert list(read_tfrecord(tmp_path / "empty")) == []


def test_another_writer_is_understood(tmp_path: Path) -> None:
    writer = pytest.importorskip("tensorboard.summary.writer.record_writer")
    records = [np.random.default_rng(size).bytes(size) for size in (0, 1, 7, 4096, 70_001)]
    with open(tmp_path / "x", "wb") as stream:
        for record in records:
            writer.RecordWriter(stream).write(record)
    assert list(read_tfrecord(tmp_path / "x")) == records


def test_damage_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    path, whole = tmp_path / "x.tfrecords", framed(b"first", b"second")
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"x\.tfrecords: record [01] cannot be read"):
            list(read_tfrecord(path))
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        if length != len(framed(b"first")):  # cut between two records nothing is missed
            with pytest.raises(UserError, match="cannot be read"):
                list(read_tfrecord(path))
    packed = gzip.compress(whole)
    path.write_bytes(packed[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        list(read_tfrecord(path))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(UserError, match=r"record 0 cannot be read \(this is no TFRecord\)"):
        list(read_tfrecord(path))


def test_a_length_beyond_reason_is_not_allocated(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 60)
    (tmp_path / "x").write_bytes(length + struct.pack("<I", masked_crc32c(length)))
    with pytest.raises(UserError, match="it claims 1152921504606846976 bytes"):
        list(read_tfrecord(tmp_path / "x"))


def test_all_kinds_of_features_are_read() -> None:
    floats = np.array([1.5, -2.0], "<f4")
    found = parse_example(
        example({
            "bytes": byte_list(b"a", b""),
            "packed": message(2, message(1, floats.tobytes())),
            "single": message(2, b"\x0d" + floats[:1].tobytes() + b"\x0d" + floats[1:].tobytes()),
            "numbers": message(3, message(1, varint(300) + varint(2**64 - 1))),
            "number": message(3, b"\x08" + varint(7)),
            "nothing": b"",
        })
    )  # fmt: skip
    assert found["bytes"] == [b"a", b""]
    assert np.array_equal(found["packed"], floats)
    assert np.array_equal(found["single"], floats)
    assert list(found["numbers"]) == [300, -1]
    assert list(found["number"]) == [7]
    assert list(found["nothing"]) == []


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError, KeyError):
        parse_example(data)


def patch(seed: int, whole: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hdr = rng.gamma(0.3, 100.0, (256, 256, 3)).astype(np.float32)
    ldr = rng.integers(0, 256, (256, 256, 3)).astype(np.float32) + (0 if whole else 0.25)
    return hdr, np.minimum(ldr, 255).astype(np.float32)


def pair(hdr: np.ndarray, ldr: np.ndarray) -> bytes:
    return example({"ref_HDR": byte_list(hdr.tobytes()), "ref_LDR": byte_list(ldr.tobytes())})


def test_hdr_real_is_imported_without_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patches = [patch(0), patch(1), patch(2, whole=False)]
    files = {"train_64_0000": patches[:2], "train_64_0001": patches[2:]}
    for number, (name, content) in enumerate(files.items()):
        data = framed(*(pair(*one) for one in content))
        (tmp_path / f"{name}.tfrecords").write_bytes(gzip.compress(data, 1) if number else data)
    (tmp_path / "train_64_0002.tfrecords").write_bytes(framed(pair(*patch(3)), pair(*patch(4)))[:-5])
    out = tmp_path / "out"
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--output", str(out), "--workers", "0"])
    told = capsys.readouterr()
    assert told.out.startswith("4 examples written; read them with: dataset=hdr_real")
    assert "1 files are damaged" in told.err
    assert "train_64_0002.tfrecords: record 1 cannot be read (the file ends within it)" in told.err
    dataset = hdr_real(out)
    assert [record.id for record in dataset.records] == [
        "train/train_64_0000-000", "train/train_64_0000-001", "train/train_64_0001-000", "train/train_64_0002-000",
    ]  # fmt: skip
    for index, (hdr, ldr) in enumerate([*patches, patch(3)]):
        sample = dataset.sample(index, np.random.default_rng(0))
        assert np.array_equal(sample["target"].numpy().transpose(1, 2, 0), hdr)
        bits = 255 if index != 2 else 65535
        np.testing.assert_allclose(sample["input"].numpy().transpose(1, 2, 0), ldr / 255, atol=0.51 / bits, rtol=0)
    (tmp_path / "train_64_0002.tfrecords").unlink()
    main([str(tmp_path), "--output", str(out), "--workers", "0"])
    assert capsys.readouterr().out.startswith("0 examples written")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xff\xff", "a number ends after its message"),
        (example({"ref_HDR": byte_list(b"1234")}), "its feature 'ref_HDR' is not 256 x 256 x 3 numbers"),
        (pair(patch(0)[0], patch(0)[1] + 1), "'ref_LDR' leaves the range from 0 to 255"),
    ],
)
def test_other_examples_are_refused(
    tmp_path: Path, data: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.tfrecord").write_bytes(framed(data))
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--output", str(tmp_path / "out"), "--workers", "0"])
    assert words in capsys.readouterr().err


def test_a_folder_without_files_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--output", str(tmp_path / "out")])
    assert "no file in it is called *.tfrecords" in capsys.readouterr().err
