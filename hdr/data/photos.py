"""Real photographs as samples: pairs, single photos and lists, from files or from the tensor cache.

All of them are one class over manifest records; the functions differ in where the records come from. Public data sets
have their own, see ``hdr/data/README.md``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdr.data.cache import ROLE, Entry, Window, unpack_pixels
from hdr.data.geometry import Geometry, build_geometry
from hdr.data.manifest import Record, read_manifest
from hdr.data.pairing import ROLES, Folders, group_of, pair_folders, pair_list, shorten, without_suffix
from hdr.data.splits import assign_splits, check_groups
from hdr.errors import UserError
from hdr.io import image_files, read_image

RATIOS: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}

logger = logging.getLogger(__name__)


class PhotoDataset:
    """Photos of manifest records.

    A sample holds ``id``, ``group`` and for every role ``<role>`` (3, H, W) float32 and ``<role>_encoding``, which is
    ``display`` (sRGB-encoded, [0, 1]) or ``linear`` (scene-referred, unbounded, 1.0 as the reader says). Pixels are, in
    this order, cut to a random ``crop`` at native size (a memory-mapped slice where the record is a cache entry), sent
    through ``geometry``, reduced to ``long_edge``. For training give a crop or a geometry that ends in one size; for
    evaluation neither, which gives the whole photo.

    Args:
        records: one per sample, with files for all ``roles`` or a cache entry.
        roles: which photos a sample has.
        crop: side, or height and width, of the window; photos smaller than it are taken whole.
        geometry: transforms as :func:`hdr.data.geometry.build_geometry` takes them.
        long_edge: largest side of what is returned; antialiased, in the photo's own encoding.

    Raises:
        UserError: no record, or a record without a file that it needs.
    """

    def __init__(
        self,
        records: Sequence[Record],
        roles: Sequence[str] = ("input", "target"),
        *,
        crop: int | Sequence[int] | None = None,
        geometry: Sequence[Mapping[str, Any]] | None = None,
        long_edge: int | None = None,
    ) -> None:
        if not records:
            raise UserError("this data set holds no photo")
        for record in records:
            _check_record(record, roles)
        self.records = list(records)
        self.roles = tuple(roles)
        self.crop = (crop, crop) if isinstance(crop, int) else (int(crop[0]), int(crop[1])) if crop else None
        self.geometry: Geometry | None = build_geometry(geometry) if geometry else None
        self.long_edge = long_edge

    def __len__(self) -> int:
        return len(self.records)

    @property
    def groups(self) -> list[str]:
        """The group of every sample."""
        return [record.group for record in self.records]

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """The photos of record ``index``.

        Raises:
            UserError: a photo cannot be read, or those of one record differ in size.
        """
        record = self.records[index]
        pixels, encodings = self._read(record, rng)
        if self.geometry is not None:
            pixels = self.geometry(pixels, rng)
        sample: dict[str, Any] = {"id": record.id, "group": record.group}
        for role in self.roles:
            sample[role] = limit_long_edge(pixels[role], self.long_edge)
            sample[f"{role}_encoding"] = encodings[role]
        return sample

    def _read(self, record: Record, rng: np.random.Generator) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
        place = rng.random(2)  # always drawn, so that a later draw does not depend on the crop
        if ROLE in record.paths:
            with Entry(record.paths[ROLE]) as entry:
                there = ", ".join(entry.names())
                for role in self.roles:
                    if role not in entry.names():
                        raise UserError(f"{entry.path}: this cache entry of '{record.id}' has {there}, but no '{role}'")
                facts = entry.facts.get("pixels", {})
                if not facts.keys() >= set(self.roles):
                    raise UserError(
                        f"{entry.path}: this cache entry of '{record.id}' holds sensor values, not photos; prepare the "
                        "source with decode=photos into another folder, or use a data set of sensor captures"
                    )
                window = self._window(record, {role: entry.shape(role) for role in self.roles}, place)
                pixels = {role: unpack_pixels(entry.read(role, window), facts[role]) for role in self.roles}
                return pixels, {role: facts[role]["encoding"] for role in self.roles}
        photos = {role: read_image(record.paths[role]) for role in self.roles}
        window = self._window(record, {role: tuple(photo.pixels.shape) for role, photo in photos.items()}, place)
        cut = {role: photo.pixels if window is None else _cut(photo.pixels, window) for role, photo in photos.items()}
        return cut, {role: photo.encoding for role, photo in photos.items()}

    def _window(self, record: Record, shapes: Mapping[str, tuple[int, ...]], place: np.ndarray) -> Window | None:
        if len({shape[-2:] for shape in shapes.values()}) > 1:
            sizes = ", ".join(f"{role} {shape[-2]}x{shape[-1]}" for role, shape in shapes.items())
            raise UserError(f"the photos of '{record.id}' differ in size ({sizes}); they must match to the pixel")
        if self.crop is None:
            return None
        height, width = shapes[self.roles[0]][-2:]
        rows, columns = min(self.crop[0], height), min(self.crop[1], width)
        top, left = int(place[0] * (height - rows + 1)), int(place[1] * (width - columns + 1))
        return top, left, rows, columns


def limit_long_edge(pixels: torch.Tensor, long_edge: int | None) -> torch.Tensor:
    """(C, H, W) pixels, reduced with antialiasing so that no side is longer than ``long_edge``; None keeps them."""
    height, width = pixels.shape[-2:]
    if long_edge is None or max(height, width) <= long_edge:
        return pixels
    from hdr.ops.resize import resize_antialiased

    factor = long_edge / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    return resize_antialiased(pixels[None], size)[0]


def manifest_photos(
    path: str | os.PathLike[str],
    split: str | None = None,
    *,
    ratios: Mapping[str, float] = RATIOS,
    seed: int = 0,
    **options: Any,
) -> PhotoDataset:
    """The records of a manifest, or those of one ``split`` in it; the index of a cache folder is a manifest.

    A manifest that names no split at all, such as the index of a prepared folder of photos, is divided by group as
    ``ratios`` and ``seed`` say (:func:`assign_splits`). ``options`` are those of :class:`PhotoDataset`.
    """
    records = read_manifest(path)
    check_groups(records)
    if all(record.split is None for record in records):
        return PhotoDataset(_split_part(records, split, ratios, seed, str(path)), **options)
    return PhotoDataset(choose_split(records, split, str(path)), **options)


def paired_folder(
    root: str | os.PathLike[str],
    input: str | Sequence[str] = ROLES["input"],
    target: str | Sequence[str] = ROLES["target"],
    split: str | None = None,
    *,
    match: str | None = None,
    group: str | None = None,
    ratios: Mapping[str, float] = RATIOS,
    seed: int = 0,
    **options: Any,
) -> PhotoDataset:
    """Photos of two folders, paired by name, split by group (see :func:`pair_folders` for ``match`` and ``group``).

    What has no partner is reported in the log. ``ratios`` and ``seed`` decide on the split (:func:`assign_splits`).
    """
    records, report = pair_folders(root, {"input": input, "target": target}, match, group)
    if not report.complete:
        logger.warning("%s: %s", root, report)
    return PhotoDataset(_split_part(records, split, ratios, seed, str(root)), **options)


def listed_photos(
    file: str | os.PathLike[str],
    roles: Folders = ROLES,
    split: str | None = None,
    *,
    group: str | None = None,
    ratios: Mapping[str, float] = RATIOS,
    seed: int = 0,
    **options: Any,
) -> PhotoDataset:
    """Photos that a list file names (see :func:`pair_list`), split by group."""
    records = _split_part(pair_list(file, roles, group), split, ratios, seed, str(file))
    return PhotoDataset(records, tuple(roles), **options)


def unpaired_folder(
    root: str | os.PathLike[str],
    split: str | None = None,
    *,
    group: str | None = None,
    ratios: Mapping[str, float] = RATIOS,
    seed: int = 0,
    **options: Any,
) -> PhotoDataset:
    """All photos below a folder as ``input``, for losses and metrics without a reference; split by group."""
    folder = Path(root)
    names = [(path.relative_to(folder).as_posix(), path) for path in image_files(folder, recursive=True)]
    records = [
        # The group leaves out the extension: IMG_1.CR2 and IMG_1.JPG are one picture.
        Record(id=name, paths={"input": path}, group=group_of(without_suffix(Path(name)).as_posix(), group))
        for name, path in names
    ]
    return PhotoDataset(_split_part(records, split, ratios, seed, str(folder)), ("input",), **options)


def _split_part(
    records: Sequence[Record], split: str | None, ratios: Mapping[str, float], seed: int, source: str
) -> list[Record]:
    return list(records) if split is None else choose_split(assign_splits(records, ratios, seed), split, source)


def choose_split(records: Sequence[Record], split: str | None, source: str) -> list[Record]:
    """The records of one split.

    Raises:
        UserError: there are none.
    """
    chosen = [record for record in records if split is None or record.split == split]
    if not chosen:
        there = sorted({str(record.split) for record in records})
        raise UserError(f"{source}: no photo is in the split '{split}'; found {', '.join(there) or 'nothing'}")
    return chosen


def hold_out(records: Sequence[Record], share: float, seed: int = 0) -> list[Record]:
    """Move a share of the groups of the split ``train`` to ``val``, for data sets that come without a validation split.

    Raises:
        UserError: ``share`` is not in [0, 1), or leaves one of the two splits empty.
    """
    if share == 0:
        return list(records)
    training = [replace(record, split=None) for record in records if record.split == "train"]
    divided = assign_splits(training, {"train": 1 - share, "val": share}, seed)
    return [*divided, *(record for record in records if record.split != "train")]


def _check_record(record: Record, roles: Sequence[str]) -> None:
    needed = [ROLE] if ROLE in record.paths else list(roles)
    absent = [role for role in needed if role not in record.paths]
    if absent:
        raise UserError(f"the record '{record.id}' has photos for {', '.join(record.paths)}, none for '{absent[0]}'")
    missing = [str(record.paths[role]) for role in needed if not record.paths[role].is_file()]
    if missing:
        raise UserError(f"the record '{record.id}' names {shorten(missing)}, and there is no such file")


def _cut(pixels: torch.Tensor, window: Window) -> torch.Tensor:
    top, left, height, width = window
    return pixels[..., top : top + height, left : left + width].contiguous()
