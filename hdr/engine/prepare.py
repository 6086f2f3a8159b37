"""``mode=prepare``: from files to the tensor cache, developed as photos or as the sensor's own values."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hdr.data.cache import ROLE
from hdr.data.decode import Decode, PhotoDecode, SensorDecode, is_raw_path
from hdr.data.manifest import Record, read_manifest
from hdr.data.pairing import ROLES, pair_folders, shorten
from hdr.data.prepare import prepare
from hdr.engine.build import build
from hdr.engine.config import Plain
from hdr.errors import UserError
from hdr.io.files import image_files

log = logging.getLogger(__name__)

DECODES: Mapping[str, Decode] = {
    "photos": PhotoDecode(),
    "sensor": SensorDecode(),
    "sensor_binned": SensorDecode(binned=True),
}


def prepare_photos(config: Plain, output: Path) -> dict[str, Any]:
    """Decode every capture of ``source`` once, into the cache folder ``output``; what is there already stays.

    ``source`` is a manifest (.jsonl), a folder with ``input`` and ``target`` folders of pairs, or a folder of photos;
    without it, all splits of the configured data set are prepared. ``decode`` says as what.

    Raises:
        UserError: no source, nothing in it, or (at the end, after all others are done) photos that cannot be read.
    """
    name = config["decode"]
    if name not in DECODES:
        raise UserError(f"decode={name}: accepted are {', '.join(DECODES)}")
    records = records_of(Path(config["source"]), raw=name != "photos") if config["source"] else _of_dataset(config)
    if name != "photos" and not any(is_raw_path(path) for record in records for path in record.paths.values()):
        raise UserError(f"decode={name} reads camera RAW files, and there is none; for other photos use decode=photos")
    summary = prepare(records, output, DECODES[name], workers=config["trainer"]["workers"], shard=config["shard"])
    log.info("%s: %d written, %d there already", summary.index, summary.written, summary.kept)
    if name != "photos":
        _tell_doubts(summary.index)
    else:
        log.info("train on it with: dataset=manifest dataset.path=%s", summary.index)
    if summary.failed:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in summary.failed.items())
        raise UserError(f"{len(summary.failed)} of {len(records)} captures could not be prepared:\n{lines}")
    return {**asdict(summary), "index": str(summary.index)}


def _tell_doubts(index: Path) -> None:
    """Say in the log which captures' exposure data are not what their files state."""
    doubted = [
        f"{record.id}: {decision['field']} {decision['found']}, {decision['action']}: {decision['detail']}"
        for record in read_manifest(index)
        for sensor in record.metadata[ROLE].get("sensor", {}).values()
        for decision in sensor["decisions"]
        if decision["action"] != "ok"
    ]
    if doubted:
        log.warning("exposure data that were set right or are not relied upon, %d: %s", len(doubted), shorten(doubted))


def records_of(source: Path, *, raw: bool = False) -> list[Record]:
    """What there is to prepare at ``source``; with ``raw`` a folder's RAW files only, not their JPEG companions."""
    if source.suffix == ".jsonl":
        return read_manifest(source)
    if not source.is_dir():
        raise UserError(f"source={source}: there is no such folder or manifest")
    names = {path.name.lower() for path in source.iterdir() if path.is_dir()}
    if "input" in names and len(names) > 1:
        records, report = pair_folders(source, ROLES)
        if not report.complete:
            log.warning("%s: %s", source, report)
        return records
    photos = [path for path in image_files(source, recursive=True) if is_raw_path(path) or not raw]
    ids = [path.relative_to(source).as_posix() for path in photos]
    return [Record(id=name, paths={"input": path}, group=name) for name, path in zip(ids, photos, strict=True)]


def _of_dataset(config: Plain) -> list[Record]:
    """The records of the configured data set, all splits of it."""
    node = {key: value for key, value in config["dataset"].items() if key not in ("size", "long_edge")}
    if node["_target_"].startswith("hdr.data.sources."):
        raise UserError(
            "mode=prepare needs source=<a folder of photos or of input/ and target/, or a manifest>, "
            "or a dataset= of photos"
        )
    dataset = build(node, split=None)
    records: list[Record] = dataset.records
    return records
