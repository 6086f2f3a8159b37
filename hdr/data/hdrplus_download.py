"""Fetch the HDR+ data set from Google's public bucket; no account is needed.

By default the 153 bursts of the curated subset, with the merged RAW and the finished picture of each (about 3 GB). Run
again to go on; what is there is not fetched twice. A manifest of everything is written to <output>/manifest.jsonl.
Licence: CC BY-SA, see https://hdrplusdata.org/dataset.html.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.parse
from base64 import b64decode
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from hdr.data.download import Item, download, exit_on_mistakes, report
from hdr.data.hdrplus import FULL, HDRPLUS, RESULTS, SUBSET, SUBSET_LIST, burst_records, is_chart, split_bursts
from hdr.data.manifest import write_manifest
from hdr.data.web import Patience, get
from hdr.errors import UserError
from hdr.io.atomic import write_atomically

HOST = "https://storage.googleapis.com"
_BUCKET = "hdrplusdata"
_RATIOS = {"train": 0.8, "val": 0.1, "test": 0.1}
# what can be asked for -> in bursts/ or the results, and how the names of its files begin
_KINDS = {
    "merged": ("results", ("merged.dng", "reference_frame.txt")),
    "final": ("results", ("final.jpg", "reference_frame.txt")),
    "frames": ("bursts", ("payload_N", "rgb2rgb.txt", "timing.txt")),
    "shading": ("bursts", ("lens_shading_map_N",)),
}


def list_objects(
    host: str, bucket: str, prefix: str, delimiter: str | None = None, patience: Patience | None = None
) -> Iterator[dict[str, Any]]:
    """The objects of a public Cloud Storage bucket below ``prefix``, over all pages of the listing.

    With ``delimiter`` the folders at the next level come instead, as ``{"prefix": "a/b/"}``. Objects have ``name``,
    ``size`` and, in base64, ``md5Hash`` or ``crc32c`` (JSON API of Cloud Storage, Objects: list).

    Raises:
        UserError: the listing cannot be had.
    """
    query = {"prefix": prefix, "fields": "items(name,size,md5Hash,crc32c),prefixes,nextPageToken"}
    query |= {"delimiter": delimiter} if delimiter else {}
    while True:
        address = f"{host}/storage/v1/b/{bucket}/o?{urllib.parse.urlencode(query)}"
        try:
            page = json.loads(get(address, patience))
            yield from [{"prefix": name} for name in page.get("prefixes", [])] if delimiter else page.get("items", [])
        except (ValueError, AttributeError) as error:
            raise UserError(f"{address}: the answer is no listing ({error}); is there a proxy in between?") from error
        if "nextPageToken" not in page:
            return
        query["pageToken"] = page["nextPageToken"]


def find_files(
    output: Path,
    *,
    full: bool,
    kinds: Sequence[str],
    limit: int | None,
    results: str = RESULTS,
    host: str = HOST,
    patience: Patience | None = None,
) -> tuple[list[Item], list[str]]:
    """The files to fetch into ``output``, and the names of the bursts of the subset.

    Raises:
        UserError: the listing cannot be had, or has no such bursts.
    """
    archive = FULL if full else SUBSET
    subset = _bursts(host, SUBSET, patience)
    bursts = _bursts(host, FULL, patience) if full else subset
    chosen = set(bursts[:limit])
    items = []
    for place in sorted({_KINDS[kind][0] for kind in kinds}):
        folder = f"{archive}/{results if place == 'results' else place}/"
        starts = tuple(start for kind in kinds if _KINDS[kind][0] == place for start in _KINDS[kind][1])
        # of a few bursts each is listed; of many, everything, a thousand to a page
        prefixes = [f"{folder}{burst}/" for burst in sorted(chosen)] if limit else [folder]
        for prefix in prefixes:
            for found in list_objects(host, _BUCKET, prefix, patience=patience):
                name = PurePosixPath(found["name"])
                if name.parent.name in chosen and name.name.startswith(starts):
                    items.append(_item(found, output, host))
    if not items:
        raise UserError(f"{host}: the bucket lists no {' or '.join(kinds)} for {len(chosen)} bursts in {archive}")
    return items, subset


def _bursts(host: str, archive: str, patience: Patience | None) -> list[str]:
    folders = list_objects(host, _BUCKET, f"{archive}/bursts/", "/", patience)
    names = sorted(PurePosixPath(folder["prefix"]).name for folder in folders)
    return [name for name in names if not is_chart(name)]


def _item(found: dict[str, Any], output: Path, host: str) -> Item:
    name = PurePosixPath(found["name"])
    if name.is_absolute() or ".." in name.parts:
        raise UserError(f"{host}: the listing names '{name}', which leads out of the folder; nothing was fetched")
    kind = "md5" if "md5Hash" in found else "crc32c"  # objects put together from parts have no MD5
    value = found.get("md5Hash") or found.get("crc32c")
    return Item(
        url=f"{host}/{_BUCKET}/{urllib.parse.quote(found['name'])}",
        path=output / name,
        size=int(found["size"]),
        checksum=(kind, b64decode(value)) if value else None,
    )


def write_bursts(output: Path, subset: Sequence[str]) -> Path:
    """Write the manifest of all bursts in ``output``, with groups and splits, and the list of the subset beside it."""
    with write_atomically(output / SUBSET_LIST) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in subset), encoding="utf-8")
    records, tested = burst_records(output)
    try:
        records = split_bursts(records, tested, _RATIOS)
    except UserError as error:
        sys.stderr.write(f"the manifest names no splits yet: {error}\n")
    write_manifest(output / "manifest.jsonl", records, replace=True)
    return output / "manifest.jsonl"


def main(arguments: Sequence[str] | None = None, host: str = HOST) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m hdr.data.hdrplus_download", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--full", action="store_true", help="all 3619 photographed bursts instead of the subset")
    parser.add_argument("--limit", type=int, default=None, help="only the first so many bursts, by name")
    parser.add_argument(
        "--files", nargs="+", choices=list(_KINDS), default=["merged", "final"], metavar="KIND",
        help="of " + ", ".join(_KINDS) + "; default: merged final. With frames: 37 GB for the subset, 765 GB for all",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="say how much it is, and fetch nothing")
    parser.add_argument("--workers", type=int, default=8, help="files fetched at the same time; default: 8")
    options = parser.parse_args(arguments)
    with exit_on_mistakes():
        if (options.limit is not None and options.limit < 1) or options.workers < 1:
            raise UserError("--limit and --workers are whole numbers from 1 on")
        items, subset = find_files(
            options.output, full=options.full, kinds=options.files, limit=options.limit, host=host
        )
        size = sum(item.size or 0 for item in items)
        sys.stdout.write(f"{len(items)} files, {size / 1e9:.2f} GB; {HDRPLUS.licence}, {HDRPLUS.url}\n")
        if options.list:
            return
        summary = download(items, workers=options.workers)
        if options.files != ["shading"] and summary.fetched + summary.kept:
            sys.stdout.write(f"manifest: {write_bursts(options.output, subset)}\n")
        report(summary)


if __name__ == "__main__":
    main()
