"""Manifests: one JSON record a line, saying which files belong to a capture and what is known of it.

A record looks like this; only ``id`` and ``paths`` are required::

    {"id": "a0001", "paths": {"input": "input/a0001.png", "target": "expert/a0001.tif"},
     "group": "shoot-12", "split": "train", "metadata": {"ev": -2.0}, "licence": "CC0"}

Relative paths are relative to the manifest's folder, so a data set can be moved as a whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hdr.errors import UserError
from hdr.io.atomic import write_atomically


@dataclass(frozen=True, kw_only=True)
class Record:
    """One capture: its files by role, and what splits and evaluation need to know of it."""

    id: str  # unique within a manifest
    paths: Mapping[str, Path]  # role -> file
    group: str = ""  # scene, shoot or burst that must stay on one side of a split; the id when not given
    split: str | None = None  # train, val, test, or not decided yet
    metadata: Mapping[str, Any] = field(default_factory=dict)  # JSON values: exposure, camera, decisions taken ...
    licence: str | None = None

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.id)


_TEXT_KEYS = ("id", "group", "split", "licence")
_KEYS = (*_TEXT_KEYS, "paths", "metadata")


def read_manifest(path: str | os.PathLike[str]) -> list[Record]:
    """Read a manifest; records come in the order of the file, blank lines are skipped.

    Raises:
        UserError: the file cannot be read, or a line is not a record (the message names file and line).
    """
    manifest = Path(path)
    try:
        lines = manifest.read_text(encoding="utf-8").split("\n")  # splitlines would cut at U+0085 in a text, too
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{manifest}: cannot read this manifest ({error}); it is a UTF-8 text of JSON lines") from error
    records: list[Record] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = _record(json.loads(line), manifest.parent)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{manifest}:{number}: {error}") from error
        if record.id in seen:
            raise UserError(f"{manifest}:{number}: the id '{record.id}' stands in line {seen[record.id]} already")
        seen[record.id] = number
        records.append(record)
    return records


def write_manifest(path: str | os.PathLike[str], records: Iterable[Record], *, replace: bool = False) -> None:
    """Write a manifest whole or not at all; paths below its folder are stored relative, others absolute.

    Raises:
        UserError: the file exists and ``replace`` was not asked for.
    """
    manifest = Path(path)
    if manifest.exists() and not replace:
        raise UserError(f"{manifest}: this file exists; remove it or choose another name")
    folder = Path(os.path.abspath(manifest.parent))
    manifest.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(manifest) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for record in records:
            stream.write(json.dumps(_line(record, folder), ensure_ascii=False, allow_nan=False) + "\n")


def _line(record: Record, folder: Path) -> dict[str, Any]:
    line: dict[str, Any] = {"id": record.id, "paths": {role: _portable(p, folder) for role, p in record.paths.items()}}
    if record.group != record.id:
        line["group"] = record.group
    if record.split is not None:
        line["split"] = record.split
    if record.metadata:
        line["metadata"] = dict(record.metadata)
    if record.licence is not None:
        line["licence"] = record.licence
    return line


def _portable(path: Path, folder: Path) -> str:
    absolute = Path(os.path.abspath(path))
    return (absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute).as_posix()


def _record(line: Any, folder: Path) -> Record:
    if not isinstance(line, dict):
        raise ValueError(f"found {_shown(line)}; a line is one JSON object with the keys {', '.join(_KEYS)}")
    unknown = sorted(set(line) - set(_KEYS))
    if unknown:
        raise ValueError(f"found the key '{unknown[0]}'; accepted keys are {', '.join(_KEYS)}")
    for key in _TEXT_KEYS:
        value = line.get(key)
        if not (isinstance(value, str) and value) and not (value is None and key != "id"):
            raise ValueError(f"'{key}' is {_shown(value)}; it must be a text that is not empty")
    paths = line.get("paths")
    if not isinstance(paths, dict) or not paths or not all(isinstance(p, str) and p for p in paths.values()):
        raise ValueError(f'\'paths\' is {_shown(paths)}; it must be an object of role and file: {{"input": "a.png"}}')
    metadata = line.get("metadata", {})
    if not isinstance(metadata, dict):
        raise ValueError(f"'metadata' is {_shown(metadata)}; it must be an object")
    return Record(
        id=line["id"],
        paths={role: folder / name for role, name in paths.items()},
        group=line.get("group") or "",
        split=line.get("split"),
        metadata=metadata,
        licence=line.get("licence"),
    )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return "missing" if value is None else text if len(text) <= 60 else f"{text[:57]}..."
