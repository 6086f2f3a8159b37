"""Apple's gain maps: one channel, applied as 1 + (headroom - 1) * map to linear light.

Source: Apple, "Applying Apple HDR effect to your photos" (developer documentation of AppKit, 2023).
"""

from __future__ import annotations

import struct

import torch

from hdr.io import exif as exif_block
from hdr.ops.encoding import bt709_to_linear

_MAKER_NOTE = 0x927C
_SIGNATURE = b"Apple iOS\0"
_DIRECTORY = 14
_SIGNED_RATIONAL = 10
_HEADROOM_TAG, _GAIN_TAG = 33, 48


def gain_from_apple_map(stored: torch.Tensor, headroom: float) -> torch.Tensor:
    """Gains over SDR white from the stored map (0 to 1), which is encoded with the curve of ITU-R BT.709 (1.2)."""
    return 1 + (headroom - 1) * bt709_to_linear(stored)


def headroom_from_maker_note(exif: bytes) -> float | None:
    """The headroom over SDR white that Apple's maker note stands for; None where the EXIF block has no such note."""
    try:
        directory = exif_block.read_directories(exif_block.strip_prefix(exif)).get(exif_block.EXIF_POINTER)
    except exif_block.DamagedExif:
        return None
    entry = directory.get(_MAKER_NOTE) if isinstance(directory, dict) else None
    if not isinstance(entry, exif_block.Entry) or not entry.data.startswith(_SIGNATURE):
        return None
    values = _signed_rationals(entry.data)
    if _HEADROOM_TAG not in values:
        return None
    return 2 ** max(0.0, _stops(values[_HEADROOM_TAG], values.get(_GAIN_TAG, 0.0)))


def _stops(headroom: float, gain: float) -> float:
    """Apple's piecewise lines through the values of the tags 33 and 48."""
    if headroom < 1:
        return 1.8 - 20 * gain if gain <= 0.01 else 1.601 - 0.101 * gain
    return 3 - 70 * gain if gain <= 0.01 else 2.303 - 0.303 * gain


def _signed_rationals(note: bytes) -> dict[int, float]:
    """The single signed rationals of the note's directory (big endian, offsets from the start of the note)."""
    found: dict[int, float] = {}
    if len(note) < _DIRECTORY + 2:
        return found
    count = struct.unpack_from(">H", note, _DIRECTORY)[0]
    for position in range(_DIRECTORY + 2, _DIRECTORY + 2 + 12 * count, 12):
        if position + 12 > len(note):
            break
        tag, kind, values, offset = struct.unpack_from(">HHII", note, position)
        if kind == _SIGNED_RATIONAL and values == 1 and offset + 8 <= len(note):
            above, below = struct.unpack_from(">ii", note, offset)
            if below:
                found[tag] = above / below
    return found
