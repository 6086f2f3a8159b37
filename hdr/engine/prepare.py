"""``mode=prepare`` for photos: ``source`` into the tensor cache, which the data set ``manifest`` reads."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hdr.data.manifest import Record, read_manifest
from hdr.data.pairing import ROLES, pair_folders
from hdr.data.prepare import PhotoDecode, prepare
from hdr.engine.config import Plain
from hdr.errors import UserError
from hdr.io.files import image_files

log = logging.getLogger(__name__)


def prepare_photos(config: Plain, output: Path) -> dict[str, Any]:
    """Decode every photo of ``source`` once, into the cache folder ``output``; what is there already stays.

    ``source`` is a manifest (.jsonl), a folder with ``input`` and ``target`` folders of pairs, or a folder of photos.

    Raises:
        UserError: no source, nothing in it, or (at the end, after all others are done) photos that cannot be read.
    """
    if not config["source"]:
        raise UserError("mode=prepare needs source=<a folder of photos or of input/ and target/, or a manifest>")
    records = records_of(Path(config["source"]))
    summary = prepare(records, output, PhotoDecode(), workers=config["trainer"]["workers"], shard=config["shard"])
    log.info("%s: %d written, %d there already", summary.index, summary.written, summary.kept)
    log.info("train on it with: dataset=manifest dataset.path=%s", summary.index)
    if summary.failed:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in summary.failed.items())
        raise UserError(f"{len(summary.failed)} of {len(records)} captures could not be prepared:\n{lines}")
    return {**asdict(summary), "index": str(summary.index)}


def records_of(source: Path) -> list[Record]:
    """What there is to prepare at ``source``."""
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
    photos = image_files(source, recursive=True)
    ids = [path.relative_to(source).as_posix() for path in photos]
    return [Record(id=name, paths={"input": path}, group=name) for name, path in zip(ids, photos, strict=True)]
