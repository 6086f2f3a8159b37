"""The score table: for every scene of a data set, how good each candidate subset of exposures is.

A folder with ``table.json`` (the ladder, the candidates' size, how they were scored) and one file per 16 scenes,
``train-00007.safetensors``. Parts appear whole or not at all and depend on nothing but their number, so a table can be
stopped, continued, and made by several machines at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hdr.data.prepare import in_shard
from hdr.data.processes import in_processes
from hdr.data.subset import spread
from hdr.errors import UserError
from hdr.io.atomic import write_atomically
from hdr.ops.subset_fusion import SubsetFusion
from hdr.progress import progress_bar
from tasks.exposure_selection.ladder import (
    EXIF_UNIT,
    UNKNOWN,
    Anchor,
    Curve,
    Light,
    darkest_honest,
    preview_ev,
    render,
)
from tasks.exposure_selection.lights import LightSource
from tasks.exposure_selection.scoring import FIVE, ReferenceKind, check_figures, reference_picture, score_subsets
from tasks.exposure_selection.subsets import Constraints, all_subsets, ev_grid

log = logging.getLogger(__name__)

PART = 16  # scenes per file
_HALF = 60_000.0  # largest light that is stored, EV 0 saturating at 1: half floats end at 65504


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """What the scores of a table depend on, beside the scenes."""

    lowest: float = -3.0
    """EV of the ladder's darkest exposure, relative to the preview."""
    highest: float = 6.0
    """EV of its brightest."""
    step: float = 0.25
    """EV between neighbours."""
    members: int = 2
    """Exposures in a candidate."""
    include: tuple[float, ...] = ()
    """EVs that every candidate holds; (0.0,) makes the original's 36 pairs with the preview."""
    anchor: Anchor = "highlights"
    curve: Curve = "srgb"
    noise: bool = True
    weighting: str = "opencv"
    reference: ReferenceKind = "five"
    figures: tuple[str, ...] = ("psnr",)
    seed: int = 0

    @property
    def evs(self) -> list[float]:
        """The ladder, rising."""
        return ev_grid(self.lowest, self.highest, self.step)

    @property
    def subsets(self) -> torch.Tensor:
        """The candidates (S, members), indices into the ladder."""
        return all_subsets(self.evs, self.members, Constraints(include=tuple(self.include)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One scene of a table."""

    id: str
    group: str
    linear: torch.Tensor
    """(3, H, W) float16, sensor colours; 1.0 saturates the preview."""
    gains: tuple[float, float, float]
    matrix: torch.Tensor | None
    shot: float
    read: float
    saturation: float
    """In units of ``linear``; infinite where all light is known."""
    scores: Mapping[str, torch.Tensor]
    """Figure -> (S,) float32; NaN for candidates with an exposure that the capture cannot give honestly."""
    exif: tuple[float, float, float] = UNKNOWN
    """:func:`tasks.exposure_selection.ladder.exif_scalars` of the preview."""
    subsets: tuple[str, ...] = field(default=())

    def light(self) -> Light:
        """What exposures are rendered from; the preview has EV 0."""
        return Light(
            linear=self.linear.float(),
            id=self.id,
            group=self.group,
            gains=self.gains,
            matrix=self.matrix,
            saturation=self.saturation,
            shot=self.shot,
            read=self.read,
            subsets=self.subsets,
        )


def score_light(light: Light, settings: TableSettings) -> Row:
    """Expose, fuse and score one scene: a pure function of its arguments."""
    anchor = preview_ev(light, settings.anchor)
    evs, subsets = settings.evs, settings.subsets
    chance = torch.Generator().manual_seed(seed_of(settings.seed, light.id)) if settings.noise else None
    stack = render(light, evs, anchor, curve=settings.curve, generator=chance)
    five = render(light, FIVE, anchor, curve=settings.curve, generator=chance)
    exposed = light.linear * 2.0**anchor
    reference = reference_picture(settings.reference, settings.weighting, five=five, dense=stack, linear=exposed)
    scores = score_subsets(SubsetFusion(stack, settings.weighting), stack, subsets, reference, settings.figures)
    honest = torch.tensor(evs) >= darkest_honest(light, anchor) - 1e-6
    allowed = honest[subsets].all(dim=1)
    return Row(
        id=light.id,
        group=light.group,
        linear=exposed.clamp(max=_HALF).half(),
        gains=light.gains,
        matrix=light.matrix,
        shot=light.shot,
        read=light.read,
        saturation=light.saturation * 2.0**anchor,
        scores={name: torch.where(allowed, values, torch.nan) for name, values in scores.items()},
        exif=(light.exif[0] + anchor / EXIF_UNIT, *light.exif[1:]),
        subsets=light.subsets,
    )


@dataclass(frozen=True, kw_only=True)
class TableSummary:
    """What :func:`build_table` did."""

    folder: Path
    written: int
    """Scenes scored now."""
    kept: int
    """Scenes that were there."""
    failed: Mapping[str, str]
    """Scene -> why it is not in the table."""


def build_table(
    folder: Path,
    split: str,
    source: LightSource,
    settings: TableSettings,
    identity: Any,
    *,
    workers: int,
    shard: str | None = None,
    scenes: int | None = None,
) -> TableSummary:
    """Score every scene of a split; what is there already stays.

    Args:
        folder: of the table; several splits share one.
        split: its name.
        source: scenes.
        settings: how they are scored.
        identity: JSON value that tells the data set; a table of another one is not continued.
        workers: processes; 0: this one.
        shard: such as ``3/32``: only the parts of that share.
        scenes: about so many are enough, evenly spread over the split.

    Raises:
        UserError: the folder holds a table of other settings or other data, a wrong ``shard``, or a figure that cannot
            be computed here.
    """
    check_figures(settings.figures)
    claim_table(folder, settings, identity)
    count = len(source)
    every = -(-count // PART)
    chosen = range(every) if scenes is None else spread(every, -(-scenes // PART))
    parts = [part for part in chosen if in_shard(f"{split}-{part}", shard)]
    sizes = {part: min(PART, count - part * PART) for part in parts}
    todo = [part for part in parts if _facts(part_path(folder, split, part)) is None]
    kept = sum(sizes[part] for part in parts if part not in todo)
    failed: dict[str, str] = {}
    for part in set(parts) - set(todo):
        failed |= _facts(part_path(folder, split, part))["failed"]  # type: ignore[index]
    with progress_bar(f"score {split}", sum(sizes.values()), kept) as bar:
        work = partial(_build_part, folder, split, source, settings)
        for part, problems in in_processes(work, todo, workers, _died):
            failed |= problems
            for _ in range(sizes[part]):
                bar.advance()
    return TableSummary(folder=folder, written=sum(sizes[part] for part in todo), kept=kept, failed=failed)


def claim_table(folder: Path, settings: TableSettings, identity: Any) -> None:
    """Write ``table.json``, or check that the one that is there says the same."""
    path = folder / "table.json"
    wanted = json.loads(json.dumps({"settings": asdict(settings), "data": identity}))
    if path.is_file():
        found = json.loads(path.read_text())
        for part in ("settings", "data"):
            for key in sorted({*found[part], *wanted[part]}):
                if found[part].get(key) != wanted[part].get(key):
                    raise UserError(
                        f"{folder} holds a table with {part}.{key} = {found[part].get(key)!r}, and this run has "
                        f"{wanted[part].get(key)!r}; give another folder"
                    )
        return
    folder.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(wanted, indent=1))


def identity_of(folder: Path) -> Any:
    """What the data of a table are; None where there is no table."""
    path = folder / "table.json"
    return json.loads(path.read_text())["data"] if path.is_file() else None


def part_path(folder: Path, split: str, part: int) -> Path:
    """Where a part lies."""
    return folder / f"{split}-{part:05d}.safetensors"


def part_files(folder: Path, split: str) -> list[Path]:
    """The parts of a split that are there, in order."""
    return sorted(folder.glob(f"{split}-[0-9][0-9][0-9][0-9][0-9].safetensors"))


class PartReader:
    """Rows of one part, read when they are asked for."""

    def __init__(self, path: Path) -> None:
        found = _facts(path)
        if found is None:
            raise UserError(f"{path}: this part of a score table is damaged; delete it and run mode=prepare again")
        self.path, self.rows = path, found["rows"]

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> Row:
        """Row ``index`` of the part."""
        facts = self.rows[index]
        time, iso, aperture = map(float, facts.get("exif", UNKNOWN))  # which tables of earlier versions do not hold
        with safe_open(self.path, framework="pt") as file:
            linear = file.get_tensor(f"{index}/linear")
            scores = {name: file.get_tensor(f"{index}/{name}") for name in facts["figures"]}
        return Row(
            id=facts["id"],
            group=facts["group"],
            linear=linear,
            gains=tuple(facts["gains"]),
            matrix=None if facts["matrix"] is None else torch.tensor(facts["matrix"]),
            shot=facts["shot"],
            read=facts["read"],
            saturation=float(facts["saturation"]),
            scores=scores,
            exif=(time, iso, aperture),
            subsets=tuple(facts["subsets"]),
        )

    def scores(self, figure: str) -> torch.Tensor:
        """The scores of all rows, (n, S)."""
        with safe_open(self.path, framework="pt") as file:
            return torch.stack([file.get_tensor(f"{index}/{figure}") for index in range(len(self))])


def _build_part(folder: Path, split: str, source: LightSource, settings: TableSettings, part: int) -> dict[str, str]:
    rows, failed = [], {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in workers: sums depend on it in their last bits
    try:
        for index in range(part * PART, min((part + 1) * PART, len(source))):
            try:
                rows.append(score_light(source.light(index), settings))
            except UserError as error:
                failed[f"{split} {index}"] = str(error)
    finally:
        torch.set_num_threads(threads)
    _write_part(part_path(folder, split, part), rows, failed)
    return failed


def _write_part(path: Path, rows: Sequence[Row], failed: Mapping[str, str]) -> None:
    tensors: dict[str, torch.Tensor] = {"version": torch.tensor(1)}
    facts = []
    for index, row in enumerate(rows):
        tensors[f"{index}/linear"] = row.linear.contiguous()
        for name, values in row.scores.items():
            tensors[f"{index}/{name}"] = values.contiguous()
        facts.append(
            {
                "id": row.id,
                "group": row.group,
                "gains": row.gains,
                "matrix": None if row.matrix is None else row.matrix.tolist(),
                "shot": row.shot,
                "read": row.read,
                "saturation": str(row.saturation),  # JSON has no infinity
                "figures": list(row.scores),
                "exif": list(map(str, row.exif)),  # nor NaN
                "subsets": row.subsets,
            }
        )
    with write_atomically(path) as temporary:
        save_file(tensors, temporary, metadata={"facts": json.dumps({"rows": facts, "failed": dict(failed)})})


def _facts(path: Path) -> dict[str, Any] | None:
    """What a part says about its rows; None where it is not there or not whole."""
    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, Any] = json.loads(file.metadata()["facts"])
            return found
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None


def seed_of(seed: int, name: str) -> int:
    """The seed of a scene's noise."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=7).digest(), "big")


def _died(part: int) -> dict[str, str]:
    return {f"part {part}": "the process that worked on it died"}
