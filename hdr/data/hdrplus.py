"""The HDR+ burst data set: its files, what belongs together, and which bursts may not be torn apart.

Hasinoff et al., "Burst photography for high dynamic range and low-light imaging on mobile cameras", SIGGRAPH Asia 2016:
3640 bursts of RAW frames from phones, each with the merged RAW and the finished picture of Google's pipeline; 153 of
them are a subset of its own, which others test on. ``python -m hdr.data.hdrplus_download`` fetches them.

A burst is called by device, day and time: ``0006_20160721_181503_256``. 21 bursts called ``synthetic_*`` are drawn
charts, which are left out.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdr.data.manifest import Record
from hdr.data.public import PublicSet, logger
from hdr.data.splits import assign_splits, read_list
from hdr.errors import UserError

if TYPE_CHECKING:
    from hdr.data.photos import PhotoDataset

RESULTS = "results_20171023"
SUBSET_LIST = "subset.txt"  # names of the bursts in the subset, one a line
FULL, SUBSET = "20171106", "20171106_subset"

HDRPLUS = PublicSet(
    name="HDR+",
    url="https://hdrplusdata.org/dataset.html",
    licence="CC BY-SA",
    command="python -m hdr.data.hdrplus_download --output <root>",
    tree="""\
  <root>/20171106_subset/results_20171023/<burst>/merged.dng, final.jpg, reference_frame.txt
  <root>/20171106_subset/bursts/<burst>/payload_N000.dng ..., lens_shading_map_N000.tiff ..., rgb2rgb.txt
  <root>/20171106/...    the same for all bursts""",
)

_NAME = re.compile(r"^(\w{4})_(\d{8})_(\d{6})_\d+$")
_FRAME = re.compile(r"^payload_N(\d+)\.dng$")


def is_chart(burst: str) -> bool:
    """Whether a burst is a drawn chart and not a photograph."""
    return burst.startswith("synthetic")


def burst_groups(bursts: Collection[str], gap: float | None = None) -> dict[str, str]:
    """The group of every burst: its device and day, or with ``gap`` the shoot that it belongs to.

    A shoot is a run of bursts of one device and day in which no pause is longer than ``gap`` minutes; it is named by
    its first burst, so other bursts at hand may make other groups. Bursts with other names are their own group.
    """
    groups: dict[str, str] = {}
    shoot, before = "", datetime.datetime.min
    for burst in sorted(bursts):
        name = _NAME.match(burst)
        day = f"{name[1]}_{name[2]}" if name else burst
        if name is None or gap is None:
            groups[burst] = day
            continue
        taken = datetime.datetime.strptime(name[2] + name[3], "%Y%m%d%H%M%S")
        if not shoot.startswith(day) or taken - before > datetime.timedelta(minutes=gap):
            shoot = burst
        groups[burst], before = shoot, taken
    return groups


def burst_records(
    root: str | os.PathLike[str], *, results: str = RESULTS, gap: float | None = None
) -> tuple[list[Record], set[str]]:
    """One record per burst below ``root``, without splits, and the names of those that belong to the subset.

    Roles are ``merged`` (RAW), ``final`` (display) and ``frame_000`` ... (RAW), as far as they are there; metadata has
    ``reference_frame`` and ``rgb2rgb`` (camera to linear sRGB after white balance, three rows). The lens shading map of
    a frame lies beside it.

    Raises:
        UserError: there is no burst.
    """
    base = Path(root)
    archives = [base / name for name in (FULL, SUBSET) if (base / name).is_dir()]
    found: dict[str, Record] = {}
    for archive in archives:
        for burst in sorted({path.name for part in ("bursts", results) for path in _folders(archive / part)}):
            if not is_chart(burst) and burst not in found and (record := _record(archive, results, burst)):
                found[burst] = record
    if not found:
        there = ", ".join(archive.name for archive in archives) or f"neither {FULL} nor {SUBSET}"
        raise UserError(f"no burst with files in {results}/ or bursts/ (there is {there})")
    groups = burst_groups(found, gap)
    subset = {path.name for part in ("bursts", results) for path in _folders(base / SUBSET / part)}
    if (base / SUBSET_LIST).is_file():
        subset |= set(read_list(base / SUBSET_LIST))
    return [replace(record, group=groups[burst]) for burst, record in found.items()], subset & set(found)


def split_bursts(
    records: Sequence[Record], subset: Collection[str], ratios: Mapping[str, float], seed: int = 0
) -> list[Record]:
    """Splits for bursts: the subset is ``test``; what shares a group with it is left out; the rest is divided.

    Where there is nothing but the subset, it is divided itself.

    Raises:
        UserError: a split would get no group.
    """
    tested = {record.group for record in records if record.id in subset}
    rest = [record for record in records if record.group not in tested]
    if not rest or not tested:
        return assign_splits(records, ratios, seed)
    left_out = sum(record.group in tested and record.id not in subset for record in records)
    if left_out:
        logger.info("HDR+: %d bursts of the groups of the test subset are left out of training", left_out)
    shares = {name: ratio for name, ratio in ratios.items() if name != "test"}
    divided = assign_splits(rest, {name: ratio / sum(shares.values()) for name, ratio in shares.items()}, seed)
    return divided + [replace(record, split="test") for record in records if record.id in subset]


def hdrplus(
    root: str | os.PathLike[str],
    split: str | None = "train",
    *,
    roles: Sequence[str] = ("merged",),
    gap: float | None = None,
    ratios: Mapping[str, float] | None = None,
    seed: int = 0,
    **options: Any,
) -> PhotoDataset:
    """A split of HDR+ (None: all of it); bursts without files for all ``roles`` are left out, and reported.

    ``gap`` as for :func:`burst_groups`, ``ratios`` and ``seed`` as for :func:`split_bursts`; ``options`` are those of
    :class:`hdr.data.photos.PhotoDataset`.

    Raises:
        UserError: missing data (with the layout and the command that fetches them), or no burst in the split.
    """
    from hdr.data.photos import RATIOS, PhotoDataset, choose_split

    records, subset = HDRPLUS.layout(Path(root), partial(burst_records, root, gap=gap))
    complete = [record for record in records if all(role in record.paths for role in roles)]
    if not complete:
        there = sorted({role for record in records for role in record.paths})
        raise UserError(f"{root}: no burst has files for {', '.join(roles)}; found are {', '.join(there)}")
    if len(complete) < len(records):
        logger.warning("HDR+: %d bursts have no file for %s", len(records) - len(complete), " and ".join(roles))
    marked = HDRPLUS.mark(split_bursts(complete, subset, ratios or RATIOS, seed))
    return PhotoDataset(choose_split(marked, split, HDRPLUS.name), roles, **options)


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _record(archive: Path, results: str, burst: str) -> Record | None:
    paths = {
        role: archive / results / burst / name
        for role, name in (("merged", "merged.dng"), ("final", "final.jpg"))
        if (archive / results / burst / name).is_file()
    }
    frames = archive / "bursts" / burst
    numbered = {hit[1]: path for path in frames.glob("payload_N*.dng") if (hit := _FRAME.match(path.name))}
    paths |= {f"frame_{number}": path for number, path in sorted(numbered.items())}
    if not paths:
        return None
    reference = _numbers(archive / results / burst / "reference_frame.txt")
    matrix = _numbers(frames / "rgb2rgb.txt")
    metadata: dict[str, Any] = {"reference_frame": int(reference[0])} if reference else {}
    if len(matrix) == 9:
        metadata["rgb2rgb"] = [matrix[:3], matrix[3:6], matrix[6:]]
    return Record(id=burst, paths=paths, metadata=metadata, licence=HDRPLUS.licence)


def _numbers(path: Path) -> list[float]:
    try:
        return [float(word) for word in re.split(r"[\s,;]+", path.read_text(encoding="utf-8").strip()) if word]
    except (OSError, ValueError):  # not downloaded, or of another form: the facts are then not known
        return []
