"""Data sets for HDR from a single photograph: HDR-Synth, HDR-Real, HDR-Eye, SI-HDR.

The first three come from Liu et al., "Single-Image HDR Reconstruction by Learning to Reverse the Camera Pipeline", CVPR
2020 (alex04072000/SingleHDR); HDR-Eye is by Nemoto et al., "Visual attention in LDR and HDR images", VPQM 2015. SI-HDR
is by Hanji et al., "Comparison of single image HDR reconstruction methods: the caveats of quality assessment",
SIGGRAPH 2022; it is for evaluation only.

``target`` is the HDR picture (linear, of arbitrary scale), ``input`` the photograph of it (display). HDR-Synth has no
photographs: they are simulated in training.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hdr.data.manifest import Record
from hdr.data.pairing import pair_folders, role_folder, shorten, without_suffix
from hdr.data.photos import RATIOS, PhotoDataset, choose_split, hold_out, logger
from hdr.data.public import PublicSet
from hdr.data.splits import apply_lists, assign_splits, read_list
from hdr.errors import UserError
from hdr.io import image_files

_URL = "https://alex04072000.github.io/SingleHDR/"
HDR_SYNTH = PublicSet(
    name="HDR-Synth",
    url=_URL,
    licence="for research; the pictures are other collections', each with its own terms",
    tree="""\
  <root>/**/*.hdr, *.exr           HDR pictures
  <root>/train.txt, test.txt       the authors' lists, one path below <root> a line (optional, both)""",
)
HDR_REAL = PublicSet(
    name="HDR-Real",
    url=_URL,
    licence="for research, see that page",
    tree="""\
  <root>/train/HDR_gt/*.hdr, <root>/train/LDR_in/*.jpg
  <root>/test/HDR_gt/*.hdr,  <root>/test/LDR_in/*.jpg""",
)
HDR_EYE = PublicSet(
    name="HDR-Eye",
    url="https://www.epfl.ch/labs/mmspg/downloads/hdr-eye/",
    licence="for research, see that page",
    tree="""\
  <root>/HDR_gt/*.hdr, <root>/LDR_in/*.jpg    46 pairs, as on the page of HDR-Real (or folders HDR and LDR)""",
)
SI_HDR = PublicSet(
    name="SI-HDR",
    url="https://www.cl.cam.ac.uk/research/rainbow/projects/sihdr_benchmark/",
    licence="CC BY 4.0",
    tree="""\
  <root>/reference/001.exr ...                                  181 HDR pictures
  <root>/input/clip_95/001.png ..., <root>/input/clip_97/...    simulated photographs, 5 % and 3 % clipped
  <root>/raw/001/*.CR2 ...                                      the brackets (for condition=raw)
  The archives' own upper folders (sihdr/reference) may stay.""",
)

_RUN = 64  # neighbours in HDR-Real that stay together
_HDR = (".hdr", ".exr", ".pic")


def hdr_synth(
    root: str | os.PathLike[str],
    split: str | None = "train",
    *,
    group: str | None = None,
    ratios: Mapping[str, float] = RATIOS,
    seed: int = 0,
    holdout: float = 0.0,
    **options: Any,
) -> PhotoDataset:
    """A split of HDR-Synth (None: all of it), HDR pictures as ``target`` alone.

    The authors' lists divide them where they are there (503 and 60 pictures; ``holdout`` is the share of the training
    pictures that becomes ``val``), else ``ratios`` and ``seed``. ``group`` is a regular expression whose first group
    in the path names a scene; without it, each picture is its own.

    Raises:
        UserError: no pictures (with the layout and where to get them), one list without the other, or an empty split.
    """
    base = Path(root)
    records = HDR_SYNTH.mark(HDR_SYNTH.layout(base, partial(_hdr_pictures, base, group)))
    lists = {name: base / f"{name}.txt" for name in ("train", "test") if (base / f"{name}.txt").is_file()}
    if len(lists) == 1:
        raise UserError(f"{base}: there is {next(iter(lists))}.txt but not the other of train.txt and test.txt")
    if lists:
        records, missing = apply_lists(records, {name: read_list(path) for name, path in lists.items()})
        if missing:
            logger.warning("HDR-Synth: %d listed pictures are not there: %s", len(missing), shorten(missing))
        for name, count in (("train", 503), ("test", 60)):
            HDR_SYNTH.check_count(name, [record for record in records if record.split == name], [count])
        records = hold_out(records, holdout)
    else:
        records = assign_splits(records, ratios, seed)
    return PhotoDataset(choose_split(records, split, HDR_SYNTH.name), ("target",), **options)


def _hdr_pictures(base: Path, group: str | None) -> list[Record]:
    if not base.is_dir():
        raise UserError("that folder does not exist")
    paths = [path for path in image_files(base, recursive=True) if path.suffix.lower() in _HDR]
    if not paths:
        raise UserError("no HDR picture in it (.hdr, .exr)")
    names = [without_suffix(path.relative_to(base)).as_posix() for path in paths]
    pattern = re.compile(group) if group else None
    scenes = [hit[1] if pattern and (hit := pattern.search(name)) else name for name in names]
    return [
        Record(id=name, paths={"target": path}, group=scene)
        for name, path, scene in zip(names, paths, scenes, strict=True)
    ]


def hdr_real(
    root: str | os.PathLike[str], split: str | None = "train", *, holdout: float = 0.0, **options: Any
) -> PhotoDataset:
    """A split of HDR-Real (None: all of it), as input and target pairs.

    Pairs are found by name or, where no name matches, by the sorted order that the authors rely on. Names do not tell
    which pairs show one scene, but those follow each other: runs of 64 pairs are a group, so that a share ``holdout``
    of the training part for validation tears scenes only where a run ends.

    Raises:
        UserError: missing data (with the layout and where to get them), or folders that cannot be paired.
    """
    base = Path(root)
    parts = [name for name in ("train", "test") if (base / name).is_dir()]
    if not parts:
        HDR_REAL.layout(base, partial(role_folder, base, ("train", "test")))
    records: list[Record] = []
    for part in parts:
        pairs = HDR_REAL.layout(base, partial(_pairs, base / part, ("LDR_in", "LDR"), ("HDR_gt", "HDR")))
        HDR_REAL.check_count(part, pairs, [9786 if part == "train" else 1838])
        records += HDR_REAL.mark([_in_run(part, index, pair) for index, pair in enumerate(pairs)], part)
    if "train" in parts:
        records = hold_out(records, holdout)
    return PhotoDataset(choose_split(records, split, HDR_REAL.name), **options)


def hdr_eye(root: str | os.PathLike[str], split: str | None = "test", **options: Any) -> PhotoDataset:
    """HDR-Eye as input and target pairs, all in the split ``test``.

    Raises:
        UserError: missing data (with the layout and where to get them), or another split.
    """
    base = Path(root)
    match = r"^(.*?)(?:_(?i:HDR|LDR))?$"
    pairs = HDR_EYE.layout(base, partial(_pairs, base, ("LDR_in", "LDR"), ("HDR_gt", "HDR"), match))
    HDR_EYE.check_count("test", pairs, [46])
    return PhotoDataset(choose_split(HDR_EYE.mark(pairs, "test"), split, HDR_EYE.name), **options)


def si_hdr(
    root: str | os.PathLike[str], split: str | None = "test", *, condition: str = "clip_95", **options: Any
) -> PhotoDataset:
    """SI-HDR, all in the split ``test``: simulated photographs as ``input`` and references as ``target``.

    ``condition`` is clip_95 or clip_97, the share of pixels that is not clipped, or ``raw``: then a record has its
    bracket of RAW frames as ``frame_0`` ..., by file name, beside the target, for ``mode=prepare decode=sensor``.

    Raises:
        UserError: an unknown condition, missing data (with the layout and where to get them), or another split.
    """
    if condition not in ("clip_95", "clip_97", "raw"):
        raise UserError(f"condition='{condition}' of SI-HDR: accepted are clip_95, clip_97, raw")
    base = Path(root)
    places = {
        role: tuple(f"{above}{name}" for above in (f"{name.split('/')[0]}/sihdr/", "sihdr/", ""))
        for role, name in (("input", f"input/{condition}"), ("target", "reference"), ("raw", "raw"))
    }
    if condition == "raw":
        records = SI_HDR.layout(base, partial(_brackets, base, places["target"], places["raw"]))
    else:
        records = SI_HDR.layout(base, partial(_pairs, base, places["input"], places["target"]))
    SI_HDR.check_count("test", records, [181])
    roles = ("target",) if condition == "raw" else ("input", "target")
    return PhotoDataset(choose_split(SI_HDR.mark(records, "test"), split, SI_HDR.name), roles, **options)


def _brackets(base: Path, references: Sequence[str], raw: Sequence[str]) -> list[Record]:
    targets = {path.stem: path for path in image_files(role_folder(base, references))}
    scenes = sorted(path for path in role_folder(base, raw).iterdir() if path.is_dir() and path.name in targets)
    if not scenes:
        raise UserError("no folder below raw/ is called like a reference")
    return [
        Record(
            id=scene.name,
            paths={f"frame_{i}": p for i, p in enumerate(image_files(scene))} | {"target": targets[scene.name]},
        )
        for scene in scenes
    ]


def _pairs(base: Path, inputs: Sequence[str], targets: Sequence[str], match: str | None = None) -> list[Record]:
    """Pairs by name or, where not one name matches, by sorted order when there are equally many."""
    folders = {"input": role_folder(base, inputs), "target": role_folder(base, targets)}
    files = {role: image_files(folder) for role, folder in folders.items()}
    try:
        records, report = pair_folders(base, {"input": inputs, "target": targets}, match)
    except UserError:
        counts = {role: len(paths) for role, paths in files.items()}
        if counts["input"] != counts["target"]:
            raise UserError(
                f"no name of {folders['input']} is in {folders['target']}, and they have {counts['input']} and "
                f"{counts['target']} files, so their order does not pair them either; is the download complete?"
            ) from None
        logger.warning("%s: names do not match; %d pairs were made by sorted order", base, counts["input"])
        return [
            Record(id=first.stem, paths={"input": first, "target": second})
            for first, second in zip(files["input"], files["target"], strict=True)
        ]
    if not report.complete:
        logger.warning("%s: %s", base, report)
    return records


def _in_run(part: str, index: int, pair: Record) -> Record:
    return Record(id=f"{part}/{pair.id}", paths=pair.paths, group=f"{part}/run-{index // _RUN:04d}")
