"""Every real file at hand opens, or is refused with a message; nothing else may happen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from hdr.errors import UserError
from hdr.io import READABLE_SUFFIXES, image_files, read_image

REFUSED = {".raw": "no header", ".xmp": "it is XML", ".md": "no image format known here"}


@pytest.mark.slow
def test_every_file_opens_or_is_refused(shared_data: Path) -> None:
    opened: Counter[str] = Counter()
    refused: dict[Path, str] = {}
    for path in sorted(p for p in shared_data.rglob("*") if p.is_file() and "xmp-presets" not in p.parts):
        try:
            photo = read_image(path, half_size=True)
        except UserError as error:
            refused[path] = str(error)
            continue
        assert photo.pixels.dtype == torch.float32
        assert photo.pixels.ndim == 3
        assert photo.pixels.shape[0] == 3
        if photo.encoding == "display":
            assert photo.pixels.min() >= 0
            assert photo.pixels.max() <= 1
        opened[photo.metadata.format] += 1
    for path, message in refused.items():
        assert message.startswith(f"{path}: ")
        assert REFUSED.get(path.suffix, "accepted are JPEG, PNG") in message
        assert path.suffix not in READABLE_SUFFIXES or path.suffix == ".raw"
    assert opened == {"jpeg": 20, "png": 17, "exr": 46, "hdr": 15, "raw": 8, "avif": 3}


def test_a_folder_of_mixed_content_lists_only_photographs(shared_data: Path) -> None:
    found = image_files(shared_data / "hdr-openexr", recursive=True)
    assert len(found) == 20
    assert {path.suffix for path in found} == {".exr"}
