"""MIT-Adobe FiveK in four of the protocols under which it is published; their figures must not be mixed.

The data set (Bychkovsky et al., CVPR 2011) is 5000 RAW photos, each retouched by five experts; protocols differ in how
the input was rendered, in its size and in the split. All use expert C. Photos are told apart by the first five letters
of their names (a0001 ... a5000), whatever follows.

``upe``
    The dark rendering, Lightroom collection "(default) input"; a4501 to a5000 are the test part
    (dvlab-research/DeepUPE).
``dpe``
    A brighter as-shot rendering, 8 bit, long edge 512; lists of 2250, 2250 and 498 photos (Deep Photo Enhancer, CVPR
    2018, says 500; the lists that sjmoran/deeplpf-image-enhancement keeps in adobe5k_dpe/ have 498, see
    SPLIT_PROVENANCE.md there). The second list is the other half of that paper's unpaired training; here, as in
    DeepLPF, it is ``val``.
``zeng``
    480p, input with the white balance of the target (HuiZeng/Image-Adaptive-3DLUT; folders and lists as in
    ImCharlesY/AdaInt, README.md): ``train.txt`` of 4500 names, or ``train_input.txt`` and ``train_label.txt`` of 2250
    each, and ``test.txt`` of 498.
``retinexformer``
    As-shot-zeroed input, 4500 and 500 pairs in folders (caiyuanhao1998/Retinexformer, README.md, "Prepare Dataset").
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hdr.data.manifest import Record
from hdr.data.pairing import Folders, pair_folders, shorten
from hdr.data.photos import PhotoDataset, choose_split, hold_out, logger
from hdr.data.public import PublicSet
from hdr.data.splits import apply_lists, read_list
from hdr.errors import UserError

_ID = r"^(a\d{4})"
_URL = "https://data.csail.mit.edu/graphics/fivek/"
_LICENCE = "two research licences, one per part of the photos"
_TARGETS = ("expertC_gt", "expertC", "target", "output", "reflectance", "gt")

_FIRST_TEST_PHOTO_OF_UPE = "a4501"


@dataclass(frozen=True, kw_only=True)
class _Protocol:
    described: PublicSet
    folders: dict[str, Folders]  # split, or "" for photos that lists or numbers divide -> folders by role
    lists: dict[str, tuple[tuple[str, ...], ...]]  # split -> sets of list files, of which the first that exists counts
    counts: dict[str, tuple[int, ...]]  # split -> published numbers of photos


_PROTOCOLS = {
    "upe": _Protocol(
        described=PublicSet(
            name="FiveK (protocol upe)",
            url=_URL,
            licence=_LICENCE,
            tree="""\
  <root>/input/a0001*.tif ...         Lightroom collection "(default) input", exported
  <root>/expertC_gt/a0001*.tif ...    expert C; any photo format; a4501 to a5000 are the test part""",
        ),
        folders={"": {"input": "input", "target": _TARGETS}},
        lists={},
        counts={"train": (4500,), "test": (500,)},
    ),
    "dpe": _Protocol(
        described=PublicSet(
            name="FiveK (protocol dpe)",
            url=_URL,
            licence=_LICENCE,
            tree="""\
  <root>/input/a0001*.png ...     as-shot rendering, 8 bit, long edge 512
  <root>/output/a0001*.png ...    expert C, same size
  <root>/images_train.txt, images_valid.txt, images_test.txt    (or train_input.txt, train_label.txt, test.txt)""",
        ),
        folders={"": {"input": "input", "target": _TARGETS}},
        lists={
            "train": (("images_train.txt",), ("train_input.txt",)),
            "val": (("images_valid.txt",), ("train_label.txt",)),
            "test": (("images_test.txt",), ("test.txt",)),
        },
        counts={"train": (2250,), "val": (2250,), "test": (498, 500)},
    ),
    "zeng": _Protocol(
        described=PublicSet(
            name="FiveK (protocol zeng, 480p)",
            url="https://github.com/HuiZeng/Image-Adaptive-3DLUT",
            licence=_LICENCE,
            tree="""\
  <root>/input/JPG/480p/a0001*.jpg ...
  <root>/expertC/JPG/480p/a0001*.jpg ...
  <root>/train.txt (or train_input.txt and train_label.txt), test.txt""",
        ),
        folders={"": {"input": "input/JPG/480p", "target": "expertC/JPG/480p"}},
        lists={"train": (("train.txt",), ("train_input.txt", "train_label.txt")), "test": (("test.txt",),)},
        counts={"train": (4500,), "test": (498, 500)},
    ),
    "retinexformer": _Protocol(
        described=PublicSet(
            name="FiveK (protocol retinexformer)",
            url="https://github.com/caiyuanhao1998/Retinexformer",
            licence=_LICENCE,
            tree="""\
  <root>/train/{input,target}/a0001*.jpg ...    4500 pairs
  <root>/test/{input,target}/a4574*.jpg ...      500 pairs""",
        ),
        folders={
            "train": {"input": "train/input", "target": "train/target"},
            "test": {"input": "test/input", "target": "test/target"},
        },
        lists={},
        counts={"train": (4500,), "test": (500,)},
    ),
}


def fivek(
    root: str | os.PathLike[str],
    protocol: str,
    split: str | None = "train",
    *,
    holdout: float = 0.0,
    **options: Any,
) -> PhotoDataset:
    """A split of FiveK (None: all of it) under a protocol (see the module), as input and target pairs.

    ``holdout`` is the share of the training photos that becomes ``val`` where the protocol has no validation split;
    ``options`` are those of :class:`PhotoDataset`.

    Raises:
        UserError: an unknown protocol or split, or missing data or lists (with the layout and where to get it).
    """
    if protocol not in _PROTOCOLS:
        raise UserError(f"protocol='{protocol}' of FiveK: accepted are {', '.join(_PROTOCOLS)}")
    chosen = _PROTOCOLS[protocol]
    records = chosen.described.layout(Path(root), partial(_records, Path(root), chosen))
    for name, expected in chosen.counts.items():
        chosen.described.check_count(name, [record for record in records if record.split == name], expected)
    if "val" not in chosen.counts:
        records = hold_out(records, holdout)
    return PhotoDataset(choose_split(records, split, chosen.described.name), **options)


def _records(root: Path, protocol: _Protocol) -> list[Record]:
    records: list[Record] = []
    name, mark = protocol.described.name, protocol.described.mark
    for split, folders in protocol.folders.items():
        pairs, report = pair_folders(root, folders, _ID)
        if not report.complete:
            logger.warning("%s: %s", name, report)
        records += mark(pairs, split or None)
    if protocol.lists:
        names = {split: _listed(root, choices) for split, choices in protocol.lists.items()}
        records, missing = apply_lists(records, names)
        if missing:
            logger.warning("%s: %d listed photos are not there: %s", name, len(missing), shorten(missing))
    elif "" in protocol.folders:
        training = [record for record in records if record.id < _FIRST_TEST_PHOTO_OF_UPE]
        records = mark(training, "train") + mark(records[len(training) :], "test")
    return records


def _listed(root: Path, choices: tuple[tuple[str, ...], ...]) -> list[str]:
    for files in choices:
        if all((root / file).is_file() for file in files):
            return [entry[:5].casefold() for file in files for entry in read_list(root / file)]
    raise UserError(f"{root}: no list called {' or '.join(' with '.join(files) for files in choices)}")
