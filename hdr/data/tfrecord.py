"""TFRecord files without TensorFlow, and the import of HDR-Real in that form.

``python -m hdr.data.tfrecord FOLDER --output ROOT`` turns the examples of every ``*.tfrecords`` file, patches of
256 x 256 pixels with the features ``ref_HDR`` and ``ref_LDR`` (raw float32, RGB, LDR from 0 to 255), into pictures in
the layout of HDR-Real: ``ROOT/train/HDR_gt/*.exr`` and ``ROOT/train/LDR_in/*.png``. Then ``dataset=hdr_real`` reads
them, and ``mode=prepare dataset=hdr_real`` brings them into the tensor cache.

The file format is described at https://www.tensorflow.org/tutorials/load_data/tfrecord: a record is its length, a
masked CRC-32C of the length, the data and a masked CRC-32C of the data. An Example is a Protocol Buffers message.
"""

from __future__ import annotations

import argparse
import gzip
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hdr.data.checksums import masked_crc32c
from hdr.data.download import exit_on_mistakes
from hdr.data.pairing import shorten
from hdr.data.processes import in_processes
from hdr.errors import UserError
from hdr.io import write_image
from hdr.progress import progress_bar

_LARGEST = 1 << 30  # bytes of one record; longer ones are taken for damage
_SIDE = 256

Feature = list[bytes] | np.ndarray  # bytes values, or float32 or int64 numbers


def read_tfrecord(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file, plain or compressed with GZIP, each checked.

    Raises:
        UserError: it is no TFRecord file, or damaged (the message names the record).
    """
    with open(path, "rb") as plain:
        head = plain.read(12)
        plain.seek(0)
        compressed = head[:2] == b"\x1f\x8b" and not _header_is_right(head)
        with gzip.open(plain) if compressed else plain as stream:
            number = 0
            try:
                while header := stream.read(12):
                    if not _header_is_right(header):
                        raise ValueError("the checksum of its length is wrong" if number else "this is no TFRecord")
                    (length,) = struct.unpack("<Q", header[:8])
                    if length > _LARGEST:
                        raise ValueError(f"it claims {length} bytes")
                    data, crc = stream.read(length), stream.read(4)
                    if len(data) < length or len(crc) < 4:
                        raise ValueError("the file ends within it")
                    if struct.unpack("<I", crc)[0] != masked_crc32c(data):
                        raise ValueError("the checksum of its data is wrong")
                    yield data
                    number += 1
            except (ValueError, EOFError, OSError, zlib.error) as error:
                raise UserError(f"{path}: record {number} cannot be read ({error})") from error


def _header_is_right(header: bytes) -> bool:
    return len(header) == 12 and struct.unpack("<I", header[8:])[0] == masked_crc32c(header[:8])


def parse_example(data: bytes) -> dict[str, Feature]:
    """The features of a ``tf.train.Example`` by name: a list of bytes, or an array of float32 or int64.

    Raises:
        ValueError: it is no such message.
    """
    features: dict[str, Feature] = {}
    for number, message in _fields(data):
        if number == 1:  # Features
            for entry_number, entry in _fields(_message(message)):
                if entry_number == 1:  # an entry of its map
                    pair = dict(_fields(_message(entry)))
                    features[_message(pair[1]).decode("utf-8")] = _feature(_message(pair[2])) if 2 in pair else []
    return features


def _feature(data: bytes) -> Feature:
    for kind, message in _fields(data):
        values = [value for number, value in _fields(_message(message)) if number == 1]
        if kind == 1:  # BytesList
            return [_message(value) for value in values]
        if kind == 2:  # FloatList, packed or one by one
            return np.concatenate([np.frombuffer(_message(value), "<f4") for value in values] or [np.zeros(0, "<f4")])
        if kind == 3:  # Int64List, likewise
            numbers = [n for value in values for n in (_varints(value) if isinstance(value, bytes) else [value])]
            return np.array(numbers, np.uint64).view(np.int64)
    return []


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and value of the fields of a Protocol Buffers message; fixed-size values come as their bytes."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == 2:
            size, place = _varint(data, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if place + size > len(data):
            raise ValueError("a field ends after its message")
        yield number, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("a number ends after its message")
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place


def _varints(data: bytes) -> Iterator[int]:
    place = 0
    while place < len(data):
        value, place = _varint(data, place)
        yield value


def _message(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def read_pair(features: Mapping[str, Feature]) -> dict[str, torch.Tensor]:
    """``target`` (linear, arbitrary scale) and ``input`` (display) of an example, (3, 256, 256) float32.

    Raises:
        ValueError: a feature is missing, of another size, or not from 0 to 255 where it must be.
    """
    pictures = {}
    for role, name in (("target", "ref_HDR"), ("input", "ref_LDR")):
        found = features.get(name)
        if isinstance(found, list):
            found = np.frombuffer(found[0], "<f4") if len(found) == 1 and len(found[0]) % 4 == 0 else None
        if found is None or found.size != 3 * _SIDE * _SIDE:
            raise ValueError(f"its feature '{name}' is not {_SIDE} x {_SIDE} x 3 numbers of float32; is it HDR-Real?")
        pixels = found.astype(np.float32).reshape(_SIDE, _SIDE, 3).transpose(2, 0, 1)
        pictures[role] = torch.from_numpy(np.ascontiguousarray(pixels))
    pictures["input"] = pictures["input"] / 255
    if not bool(((pictures["input"] >= 0) & (pictures["input"] <= 1)).all()):
        raise ValueError("its feature 'ref_LDR' leaves the range from 0 to 255")
    return pictures


def import_file(root: Path, path: Path) -> tuple[int, str | None]:
    """Write the examples of a TFRecord file below ``root``; how many were new, and what ended the reading early.

    What is there stays. LDR pixels become 8 bits where that loses nothing, else 16.
    """
    written = 0
    try:
        for number, data in enumerate(read_tfrecord(path)):
            name = f"{path.name.split('.')[0]}-{number:03d}"
            places = {"target": root / "HDR_gt" / f"{name}.exr", "input": root / "LDR_in" / f"{name}.png"}
            if all(place.exists() for place in places.values()):
                continue
            try:
                pair = read_pair(parse_example(data))
            except (ValueError, KeyError) as error:
                raise UserError(f"{path}: record {number} is not an example of HDR-Real ({error})") from error
            eight = (pair["input"] * 255).round() / 255
            bits = 8 if torch.allclose(eight, pair["input"], rtol=0, atol=1e-6) else 16
            for place in places.values():
                place.parent.mkdir(parents=True, exist_ok=True)
            write_image(places["target"], pair["target"], encoding="linear", bits=32, overwrite=True)
            write_image(places["input"], pair["input"], encoding="display", bits=bits, overwrite=True)
            written += 1
    except UserError as error:
        return written, str(error)
    return written, None


def import_folder(folder: Path, root: Path, workers: int = 0) -> tuple[int, dict[Path, str]]:
    """Import all ``*.tfrecords`` below ``folder``; how many examples were new, and files that could not be read.

    Raises:
        UserError: there is none.
    """
    files = sorted(path for pattern in ("*.tfrecord", "*.tfrecords") for path in folder.rglob(pattern))
    if not files:
        raise UserError(f"{folder}: no file in it is called *.tfrecords")
    written, failed = 0, {}
    with progress_bar("import", len(files)) as bar:
        for path, (count, problem) in in_processes(partial(import_file, root), files, workers, _died):
            written += count
            if problem:
                failed[path] = problem
            bar.advance(f"{written} examples")
    return written, failed


def _died(path: Path) -> tuple[int, str]:
    return 0, f"{path}: the process that read it died"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m hdr.data.tfrecord", description="HDR-Real from TFRecord files.")
    parser.add_argument("folder", type=Path, help="folder with *.tfrecords files, plain or GZIP")
    parser.add_argument("--output", type=Path, required=True, help="root of the data set; pictures go to train/ in it")
    parser.add_argument("--workers", type=int, default=2, help="processes; default: 2")
    options = parser.parse_args(arguments)
    with exit_on_mistakes():
        written, failed = import_folder(options.folder, options.output / "train", options.workers)
        sys.stdout.write(
            f"{written} examples written; read them with: dataset=hdr_real dataset.root={options.output}\n"
        )
        if failed:
            raise UserError(f"{len(failed)} files are damaged: {shorten(list(failed.values()))}")


if __name__ == "__main__":
    main()
