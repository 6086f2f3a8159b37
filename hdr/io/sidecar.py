"""Lightroom sidecars: XMP files beside RAW files that hold develop settings.

The table :data:`TONE_SETTINGS` says of each slider its range, step, default and how its values are written.
:func:`write_sidecar` makes a new sidecar as Lightroom Classic and Camera Raw write theirs: UTF-8 without XML
declaration and without packet wrapper, one ``rdf:Description`` whose attributes are the settings.

Sources: XMP specification part 1 (ISO 16684-1:2019, container and RDF forms); Adobe's list of the camera raw schema and
the table of the same in ExifTool's documentation (names and types); the text of the values follows sidecars that
Lightroom Classic has written.
"""

from __future__ import annotations

import datetime
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path, PurePath
from types import MappingProxyType
from xml.sax.saxutils import quoteattr

from hdr.errors import UserError
from hdr.io.atomic import write_atomically

CAMERA_RAW_NAMESPACE = "http://ns.adobe.com/camera-raw-settings/1.0/"
XMP_NAMESPACE = "http://ns.adobe.com/xap/1.0/"
PHOTOSHOP_NAMESPACE = "http://ns.adobe.com/photoshop/1.0/"
RDF_NAMESPACE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMPMETA_NAMESPACE = "adobe:ns:meta/"

PROCESS_VERSION = "15.4"
"""Process version 6, the present one; the eight tone settings mean the same since version 3."""

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class SettingSpec:
    """One slider: what its values are and how they are written."""

    name: str
    """Name of the property in the camera raw namespace."""
    low: float
    high: float
    decimals: int = 0
    default: float = 0.0

    @property
    def step(self) -> float:
        """The smallest change that the format can hold, in the units of the slider."""
        return float(Decimal(1).scaleb(-self.decimals))

    def nearest(self, value: float) -> float:
        """The value that the slider can take and that is nearest: limited to its range, rounded to its step.

        Halves go away from zero, by the decimal digits that ``value`` prints as (0.125 becomes 0.13, -0.5 becomes -1).
        Never -0.

        Raises:
            UserError: the value is NaN or infinite.
        """
        return float(self._rounded(min(max(self._finite(value), self.low), self.high)))

    def text(self, value: float) -> str:
        """A value as Lightroom writes it: rounded to the step, ``+`` before values above zero, zero without a sign.

        Raises:
            UserError: the value is not finite, or outside the slider's range after rounding.
        """
        rounded = self._rounded(self._finite(value))
        if not self.low <= rounded <= self.high:
            raise UserError(
                f"{self.name} is {value!r}; accepted is {self.low:g} to {self.high:g}: limit the value to that range"
            )
        return f"{rounded:+f}" if rounded > 0 else f"{rounded:f}"

    def _finite(self, value: float) -> float:
        if not math.isfinite(value):
            raise UserError(f"{self.name} is {value!r}; accepted is a number from {self.low:g} to {self.high:g}")
        return float(value)

    def _rounded(self, value: float) -> Decimal:
        rounded = Decimal(repr(value)).quantize(Decimal(1).scaleb(-self.decimals), ROUND_HALF_UP)
        return abs(rounded) if rounded.is_zero() else rounded


TONE_SETTINGS: Mapping[str, SettingSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            SettingSpec(name="Exposure2012", low=-5.0, high=5.0, decimals=2),
            SettingSpec(name="Contrast2012", low=-100.0, high=100.0),
            SettingSpec(name="Highlights2012", low=-100.0, high=100.0),
            SettingSpec(name="Shadows2012", low=-100.0, high=100.0),
            SettingSpec(name="Whites2012", low=-100.0, high=100.0),
            SettingSpec(name="Blacks2012", low=-100.0, high=100.0),
            SettingSpec(name="Vibrance", low=-100.0, high=100.0),
            SettingSpec(name="Saturation", low=-100.0, high=100.0),
        )
    }
)
"""The eight sliders that Lightroom's own Auto sets, in the order of its panel. Exposure is in EV."""


def sidecar_text(settings: Mapping[str, float], raw_name: str, modified: datetime.datetime) -> str:
    """The content of a new sidecar.

    Beside the eight tone settings it holds what Camera Raw was found to want before it heeds a sidecar of another
    program: the RAW file's name and extension, a camera profile by name, and the marks that settings are present and
    not applied to the pixels yet. White balance stays as shot.

    Args:
        settings: values by the names of :data:`TONE_SETTINGS`; the missing ones stand at their defaults.
        raw_name: name of the RAW file with its extension, without folders.
        modified: when the settings were made, with a time zone.

    Raises:
        UserError: an unknown setting, a value outside its range, a name without extension or with characters that XML
            cannot hold.
        ValueError: ``modified`` has no time zone.
    """
    unknown = sorted(set(settings) - set(TONE_SETTINGS))
    if unknown:
        raise UserError(f"settings: there is no {unknown[0]!r}; accepted are {', '.join(TONE_SETTINGS)}")
    extension = PurePath(raw_name).suffix[1:]
    if not extension or PurePath(raw_name).name != raw_name or "\\" in raw_name or _NOT_IN_XML.search(raw_name):
        raise UserError(
            f"{raw_name!r}: a sidecar belongs to a RAW file; wanted is that file's name with its extension, without "
            "folders and control characters"
        )
    if modified.tzinfo is None:
        raise ValueError("modified has no time zone")
    attributes = {
        "photoshop:SidecarForExtension": extension.upper(),
        "xmp:MetadataDate": modified.isoformat(timespec="seconds"),
        "crs:Version": PROCESS_VERSION,
        "crs:ProcessVersion": PROCESS_VERSION,
        "crs:WhiteBalance": "As Shot",
        **{f"crs:{name}": spec.text(settings.get(name, spec.default)) for name, spec in TONE_SETTINGS.items()},
        "crs:CameraProfile": "Adobe Standard",
        "crs:HasSettings": "True",
        "crs:HasCrop": "False",
        "crs:AlreadyApplied": "False",
        "crs:RawFileName": raw_name,
    }
    spaces = {"xmp": XMP_NAMESPACE, "photoshop": PHOTOSHOP_NAMESPACE, "crs": CAMERA_RAW_NAMESPACE}
    lines = [
        f'<x:xmpmeta xmlns:x="{XMPMETA_NAMESPACE}" x:xmptk="hdr-lab">',
        f' <rdf:RDF xmlns:rdf="{RDF_NAMESPACE}">',
        '  <rdf:Description rdf:about=""',
        *(f'    xmlns:{prefix}="{uri}"' for prefix, uri in spaces.items()),
        *(f"   {name}={quoteattr(value)}" for name, value in attributes.items()),
    ]
    lines[-1] += "/>"
    return "\n".join([*lines, " </rdf:RDF>", "</x:xmpmeta>", ""])


def write_sidecar(
    path: str | os.PathLike[str], settings: Mapping[str, float], raw_name: str, modified: datetime.datetime
) -> None:
    """Write a new sidecar, whole or not at all; an existing file is never touched.

    Lightroom finds a sidecar by its name: ``path`` is the RAW file's with the extension ``.xmp``. The arguments are
    those of :func:`sidecar_text`.

    Raises:
        UserError: as :func:`sidecar_text`; ``path`` exists, does not go with ``raw_name``, or its folder is missing.
    """
    sidecar = Path(path)
    if sidecar.suffix.lower() != ".xmp" or sidecar.stem != PurePath(raw_name).stem:
        raise UserError(f"{sidecar}: the sidecar of {raw_name} is called {PurePath(raw_name).stem}.xmp")
    text = sidecar_text(settings, raw_name, modified)
    if os.path.lexists(sidecar):
        raise UserError(f"{sidecar}: this sidecar exists and may hold edits; remove it or choose another folder")
    if not sidecar.parent.is_dir():
        raise UserError(f"{sidecar.parent}: there is no such folder; make it first")
    with write_atomically(sidecar) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
