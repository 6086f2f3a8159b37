"""Samples for ``exposure_selection``: a preview, the ladder around it, and the score of every candidate."""

from __future__ import annotations

import hashlib
import json
import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from hdr.data.cache import ROLE
from hdr.data.manifest import Record
from hdr.data.photos import PhotoDataset
from hdr.engine.build import build
from hdr.engine.config import Plain
from hdr.engine.task import Split
from hdr.errors import UserError
from hdr.ops.fusion import PRESETS
from hdr.ops.resize import resize_antialiased
from tasks.exposure_selection.ladder import EXIF_UNIT, Anchor, Curve, render
from tasks.exposure_selection.lights import CaptureLights, LightSource, PictureLights, SceneLights
from tasks.exposure_selection.scoring import FIGURES, FIVE, ReferenceKind, reference_picture
from tasks.exposure_selection.table import (
    PartReader,
    Row,
    TableSettings,
    TableSummary,
    build_table,
    claim_table,
    identity_of,
    part_files,
)

log = logging.getLogger(__name__)

CHOICES: Mapping[str, Sequence[str]] = {
    "anchor": get_args(Anchor),
    "curve": get_args(Curve),
    "reference": get_args(ReferenceKind),
    "weighting": tuple(PRESETS),
}
"""Settings of a table that are names."""
CAPTURES = "captures"  # in the identity of a table of RAW files: their checksum
SIZE = 256  # longer side at which captures are scored where the data set says none


def light_source(config: Plain, split: Split) -> LightSource:
    """The scenes of a split of ``config["dataset"]``, at the size at which they are scored."""
    node, seed = dict(config["dataset"]), int(config["seed"])
    if node["_target_"].startswith("hdr.data.sources."):
        return SceneLights(build(node, split=split), seed)
    size = node.pop("size")
    long_edge = node.pop("long_edge") or size
    photos: PhotoDataset = build(node, split=split, long_edge=long_edge)
    if all(ROLE in record.paths for record in photos.records):
        return CaptureLights(photos.records, long_edge)
    return PictureLights(photos, photos.roles[-1], seed)


def table_settings(config: Plain) -> TableSettings:
    """How the run's scenes are exposed and scored."""
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in config["table"].items()}
    settings = TableSettings(**values)
    unknown = [name for name in settings.figures if name not in FIGURES]
    if unknown or not settings.figures:
        raise UserError(f"table.figures={list(settings.figures)}: accepted are {', '.join(FIGURES)}")
    for key, accepted in CHOICES.items():
        if getattr(settings, key) not in accepted:
            raise UserError(f"table.{key}={getattr(settings, key)}: accepted are {', '.join(accepted)}")
    if config["target"] not in settings.figures:
        raise UserError(f"target={config['target']}: the table is scored by {', '.join(settings.figures)}")
    return settings


def table_folder(config: Plain) -> Path:
    """Where the run's table lies: ``scores``, or a folder of the cache that is named after all it depends on."""
    if config["scores"]:
        return Path(config["scores"])
    words = json.dumps([config["dataset"], config["table"], config["seed"], *_photos(config).values()], sort_keys=True)
    name = hashlib.blake2b(words.encode(), digest_size=6).hexdigest()
    return Path(config["paths"]["cache"]) / "exposure_selection" / name


def _photos(config: Plain) -> Plain:
    """Which photos a data set of files has, as a checksum, so that a table does not outlive a change of them."""
    node = {key: value for key, value in config["dataset"].items() if key not in ("size", "long_edge")}
    if node["_target_"].startswith("hdr.data.sources."):
        return {}
    names = json.dumps(sorted(record.id for record in build(node, split=None).records))
    return {"photos": hashlib.blake2b(names.encode(), digest_size=16).hexdigest()}


def scored(config: Plain, split: Split, *, shard: str | None = None, scenes: int | None = None) -> Scored:
    """The scored scenes of a split; what the table does not hold yet is scored now.

    ``shard`` and ``scenes`` as for :func:`build_table`. A table of RAW files that ``mode=prepare source=`` has made is
    taken as it is, whatever the data set.
    """
    settings, folder = table_settings(config), table_folder(config)
    made_of = identity_of(folder)
    if config["scores"] and isinstance(made_of, dict) and CAPTURES in made_of:
        if split != "test":
            raise UserError(
                f"{folder} holds captures to measure on, all in the split 'test', and '{split}' was wanted; the "
                "constants of baselines come with evaluation.constants=<results.json of another evaluation>"
            )
        claim_table(folder, settings, made_of)
        return Scored(folder, split, settings)
    identity = {**config["dataset"], "seed": config["seed"], **_photos(config)}
    summary = build_table(
        folder,
        split,
        light_source(config, split),
        settings,
        identity,
        workers=config["trainer"]["workers"],
        shard=shard,
        scenes=scenes,
    )
    if summary.written:
        log.info("scored %d scenes of '%s' into %s (%d were there)", summary.written, split, folder, summary.kept)
    for name, reason in summary.failed.items():
        log.warning("%s: %s", name, reason)
    return Scored(folder, split, settings)


def score_captures(config: Plain, records: list[Record], folder: Path) -> TableSummary:
    """Score RAW captures of the tensor cache into the table ``folder``, as its split ``test``."""
    size = config["dataset"].get("size", SIZE)
    names = json.dumps([[record.id, record.metadata[ROLE]["key"]] for record in records])
    identity = {CAPTURES: hashlib.blake2b(names.encode(), digest_size=16).hexdigest(), "size": size}
    source, workers = CaptureLights(records, size), config["trainer"]["workers"]
    return build_table(folder, "test", source, table_settings(config), identity, workers=workers, shard=config["shard"])


class Scored:
    """The rows of a split of a table."""

    def __init__(self, folder: Path, split: str, settings: TableSettings) -> None:
        self.settings = settings
        self.parts = [PartReader(path) for path in part_files(folder, split)]
        self.ends = list(accumulate(len(part) for part in self.parts))
        if not self.ends or not self.ends[-1]:
            raise UserError(f"{folder}: the table holds no scene of the split '{split}'")

    def __len__(self) -> int:
        return self.ends[-1]

    def row(self, index: int) -> Row:
        """Row ``index``."""
        part = bisect_right(self.ends, index)
        return self.parts[part].row(index - (self.ends[part - 1] if part else 0))

    def scores(self, figure: str) -> Tensor:
        """All scores (N, S) of a figure, higher is better."""
        return torch.cat([part.scores(figure) for part in self.parts if len(part)]) * direction(figure)


def direction(figure: str) -> float:
    """1 where higher is better, else -1."""
    return 1.0 if FIGURES[figure].higher_is_better else -1.0


class Previews:
    """Samples for the selectors.

    A sample holds ``id`` and ``group``; ``preview`` (3, P, P), display in [0, 1], rendered ``offset`` EV off the
    table's anchor; ``evs`` (K,), the ladder relative to that preview; ``scores`` (S,) of the target figure, higher is
    better, 0 where not ``valid`` (S,); ``offset``; ``scalars`` (3,), the preview's EXIF facts
    (:func:`tasks.exposure_selection.ladder.exif_scalars`), NaN where not known. With ``stack`` also ``stack``
    (K, 3, P, P), the ladder's exposures, and ``reference`` (3, P, P), what their fusions are compared with.

    Args:
        rows: scored scenes.
        figure: the target.
        size: P.
        jitter: largest offset of the preview in EV, for training: a preview that was metered differently, for which
            the same exposures are called by other EVs.
        flip: mirror half of the scenes, for training.
        stack: give the exposures as well.
    """

    def __init__(
        self, rows: Scored, figure: str, size: int, *, jitter: float = 0.0, flip: bool = False, stack: bool = False
    ) -> None:
        self.rows, self.figure, self.size, self.jitter, self.flip, self.stack = rows, figure, size, jitter, flip, stack
        self.evs = torch.tensor(rows.settings.evs)

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """The preview of row ``index``."""
        row = self.rows.row(index)
        offset, mirrored = float(rng.uniform(-1, 1)) * self.jitter, bool(rng.random() < 0.5) and self.flip
        chance = torch.Generator().manual_seed(int(rng.integers(2**62)))
        scores = row.scores[self.figure] * direction(self.figure)
        valid = torch.isfinite(scores)
        noise = chance if self.rows.settings.noise else None
        pictures = {"preview": preview_of(row, offset, self.size, noise)}
        if self.stack:
            pictures |= self._exposures(row, noise)
        return {
            "id": row.id,
            "group": row.group,
            **{name: display.flip(-1) if mirrored else display for name, display in pictures.items()},
            "evs": self.evs - offset,
            "scores": torch.where(valid, scores, 0.0),
            "valid": valid,
            "offset": offset,
            "scalars": torch.tensor([row.exif[0] + offset / EXIF_UNIT, *row.exif[1:]]),
        }

    def _exposures(self, row: Row, generator: torch.Generator | None) -> dict[str, Tensor]:
        settings, light = self.rows.settings, row.light()
        stack = render(light, settings.evs, 0.0, curve=settings.curve, generator=generator)
        five = render(light, FIVE, 0.0, curve=settings.curve, generator=generator)
        reference = reference_picture(
            settings.reference, settings.weighting, five=five, dense=stack, linear=light.linear
        )
        return {"stack": to_previews(stack, self.size), "reference": to_preview(reference, self.size)}


class EvaluationPreviews(Previews):
    """Previews as metered, each with its ``row`` of the table."""

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        return {**super().sample(index, rng), "row": self.rows.row(index)}


def preview_of(row: Row, offset: float, size: int, generator: torch.Generator | None) -> Tensor:
    """The preview (3, size, size) display as a camera would show it ``offset`` EV off the anchor."""
    return to_preview(render(row.light(), [offset], 0.0, generator=generator)[0], size)


def to_preview(display: Tensor, size: int) -> Tensor:
    """A picture (3, H, W) as selectors see it: (3, size, size), display, its sides scaled each on its own."""
    return to_previews(display[None], size)[0]


def to_previews(display: Tensor, size: int) -> Tensor:
    """Several pictures (N, 3, H, W) as :func:`to_preview` gives them."""
    return resize_antialiased(display, (size, size)).clamp(0, 1)
