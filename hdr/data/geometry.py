"""Geometric augmentation on the CPU: one draw of crop, flip, turn and warp for all images and masks of a sample.

The work is done by albumentations 2.0.8. Only its geometric transforms are accepted: several photometric ones clip
values above 1 without a word (GaussianBlur, RandomBrightnessContrast, GaussNoise ...); what those are for is ours, on
batches, in
``hdr.ops``. Two defaults differ from the library's: borders are reflected, never black, and shrinking averages areas.

A geometry is configured as a list of names and parameters::

    [{"name": "RandomResizedCrop", "size": [256, 256], "scale": [0.5, 1.0]}, {"name": "HorizontalFlip"}]
"""

from __future__ import annotations

import functools
import inspect
import os
import random
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hdr.errors import UserError

CHOICES = ("OneOf", "RandomOrder", "Sequential", "SomeOf")  # hold a list of `transforms`
TRANSFORMS = (
    "Affine",
    "CenterCrop",
    "D4",
    "HorizontalFlip",
    "LongestMaxSize",
    "PadIfNeeded",
    "Perspective",
    "RandomCrop",
    "RandomResizedCrop",
    "RandomRotate90",
    "RandomSizedCrop",
    "RatioCrop",
    "Resize",
    "Rotate",
    "SafeRotate",
    "SmallestMaxSize",
    "Transpose",
    "VerticalFlip",
)


class Geometry:
    """A configured chain of transforms, called with all images of a sample at once.

    Images are (C, H, W) tensors of one size and may differ in type and channels: float32 (any range, kept), uint8,
    uint16, bool. Images are interpolated, masks take the nearest pixel. The parameters depend on ``rng`` alone.
    """

    def __init__(self, transforms: Sequence[Mapping[str, Any]]) -> None:
        self.transforms = tuple(transforms)
        self._chains: dict[tuple[int, int], Any] = {}
        self._chain(1, 0)  # a mistake in the configuration shows here, not in the first batch

    def __getstate__(self) -> dict[str, Any]:
        return {"transforms": self.transforms, "_chains": {}}  # a worker process builds its own chains

    def __call__(
        self, images: Mapping[str, torch.Tensor], rng: np.random.Generator, masks: Collection[str] = ()
    ) -> dict[str, torch.Tensor]:
        """Transform all ``images`` with one set of parameters; those named in ``masks`` are masks.

        Raises:
            ValueError: there is no image that is not a mask, or the sizes differ.
            UserError: a crop is larger than the images.
        """
        pictures = [name for name in images if name not in masks]
        labels = [name for name in images if name in masks]
        if not pictures or len({tensor.shape[-2:] for tensor in images.values()}) > 1:
            shapes = {name: tuple(tensor.shape) for name, tensor in images.items()}
            raise ValueError(f"geometry needs images of one size, and one that is not a mask; found {shapes}")
        chain = self._chain(len(pictures), len(labels))
        chain.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        keys = dict(zip(pictures + labels, _keys(len(pictures), len(labels)), strict=True))
        try:
            done = chain(**{keys[name]: _to_array(tensor) for name, tensor in images.items()})
        except _crop_error() as error:
            height, width = images[pictures[0]].shape[-2:]
            raise UserError(f"geometry: {error} (the image is {height}x{width}); use a smaller crop") from error
        return {name: _to_tensor(done[keys[name]], tensor.dtype) for name, tensor in images.items()}

    def _chain(self, pictures: int, labels: int) -> Any:
        if (pictures, labels) not in self._chains:
            library = _albumentations()
            targets = {key: key.rstrip("0123456789") for key in _keys(pictures, labels) if key != "image"}
            self._chains[pictures, labels] = library.Compose(
                [_build(transform, "geometry", index) for index, transform in enumerate(self.transforms)],
                additional_targets={key: kind for key, kind in targets.items() if key != "mask"},
            )
        return self._chains[pictures, labels]


def build_geometry(transforms: Sequence[Mapping[str, Any]]) -> Geometry:
    """A :class:`Geometry` from plain lists and dictionaries.

    Each entry has a ``name`` from :data:`TRANSFORMS` with that transform's parameters (those of albumentations 2.0.8;
    ``interpolation`` and ``border_mode`` as words: ``linear``, ``area``, ``reflect_101`` ...), or a name from
    :data:`CHOICES` with a list ``transforms``. ``RatioCrop`` is ours: a window of ``ratio`` (a range) times both sides.

    Raises:
        UserError: an unknown name or parameter, or a value that is not accepted.
    """
    return Geometry(transforms)


def crop_and_flip(size: int, smallest: float = 0.25) -> list[dict[str, Any]]:
    """The usual training geometry: a window of ``smallest`` to all of the area, made ``size`` x ``size``, and flips."""
    return [
        {"name": "RandomResizedCrop", "size": [size, size], "scale": [smallest, 1.0], "ratio": [0.75, 4 / 3]},
        {"name": "HorizontalFlip", "p": 0.5},
    ]


def centre_square(size: int) -> list[dict[str, Any]]:
    """The middle of a photo as a square of ``size``, for validation in batches: nothing in it is random."""
    return [{"name": "SmallestMaxSize", "max_size": size}, {"name": "CenterCrop", "height": size, "width": size}]


def _keys(pictures: int, labels: int) -> list[str]:
    numbered = [f"image{i}" for i in range(1, pictures)], [f"mask{i}" for i in range(1, labels)]
    return ["image", *numbered[0], *(["mask"] if labels else []), *numbered[1]]


def _to_array(tensor: torch.Tensor) -> np.ndarray:
    array = tensor.numpy()
    return np.ascontiguousarray((array.view(np.uint8) if array.dtype == np.bool_ else array).transpose(1, 2, 0))


def _to_tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    array = np.ascontiguousarray((array[..., None] if array.ndim == 2 else array).transpose(2, 0, 1))
    return torch.from_numpy(array.view(np.bool_) if dtype == torch.bool else array)


def _build(transform: Any, key: str, index: int) -> Any:
    place = f"{key}[{index}]"
    if not isinstance(transform, Mapping) or not isinstance(transform.get("name"), str):
        raise UserError(f"{place} is {transform!r}; it must have a 'name', such as {{name: HorizontalFlip, p: 0.5}}")
    name = transform["name"]
    if name not in (*TRANSFORMS, *CHOICES):
        accepted = ", ".join((*TRANSFORMS, *CHOICES))
        raise UserError(f"{place}: '{name}' is not a geometric transform; accepted: {accepted}")
    parameters = {k: _parameter(k, value, place) for k, value in transform.items() if k not in ("name", "transforms")}
    if name in CHOICES:
        inner = [_build(t, f"{place}.transforms", i) for i, t in enumerate(transform.get("transforms", ()))]
        if not inner:
            raise UserError(f"{place}: '{name}' needs a list of 'transforms'")
        parameters["transforms"] = inner
        if name == "RandomOrder":
            parameters.setdefault("n", len(inner))  # the library's default would pick one of them
    kind = _ratio_crop() if name == "RatioCrop" else getattr(_albumentations(), name)
    known = [key for key in inspect.signature(kind.__init__).parameters if key != "self"]
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise UserError(f"{place}: '{name}' has no parameter '{unknown[0]}'; it has {', '.join(known)}")
    defaults = {"border_mode": _parameter("border_mode", "reflect_101", place), "area_for_downscale": "image"}
    parameters = {key: value for key, value in defaults.items() if key in known} | parameters
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return kind(**parameters)
    except (TypeError, ValueError, UserWarning) as error:
        raise UserError(f"{place}: '{name}' does not accept these parameters: {_reasons(error)}") from error


def _reasons(error: Exception) -> str:
    """One line, also of the several that the library's validation gives."""
    found = error.__cause__ or error
    if not hasattr(found, "errors"):
        return str(error)
    return "; ".join(f"{item['loc'][0] if item['loc'] else 'all'}: {item['msg']}" for item in found.errors())


def _parameter(name: str, value: Any, place: str) -> Any:
    """Lists become tuples, and OpenCV's constants may be written as words."""
    if name in ("interpolation", "mask_interpolation", "border_mode") and isinstance(value, str):
        import cv2

        prefix = "BORDER_" if name == "border_mode" else "INTER_"
        constant = getattr(cv2, prefix + value.upper(), None)
        if constant is None:
            example = "reflect_101" if name == "border_mode" else "area"
            raise UserError(f"{place}: {name} is '{value}'; it is a word such as {example}")
        return constant
    return tuple(value) if isinstance(value, list) else value


@functools.cache
def _albumentations() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for a newer version
    import albumentations

    return albumentations


def _crop_error() -> type[Exception]:
    from albumentations.augmentations.crops.transforms import CropSizeError

    return CropSizeError


@functools.cache
def _ratio_crop() -> Any:
    from albumentations.augmentations.crops.transforms import BaseCrop

    class RatioCrop(BaseCrop):
        """A window at a random place whose sides are one random share of the image's (aspect ratio kept)."""

        def __init__(self, ratio: tuple[float, float] = (0.75, 0.95), p: float = 1.0) -> None:
            super().__init__(p=p)
            low, high = ratio
            if not 0 < low <= high <= 1:
                raise ValueError(f"ratio {ratio} must be a rising range within 0 to 1")
            self.ratio = (low, high)

        def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
            height, width = params["shape"][:2]
            ratio = self.py_random.uniform(*self.ratio)
            rows, columns = max(1, round(height * ratio)), max(1, round(width * ratio))
            top, left = self.py_random.randint(0, height - rows), self.py_random.randint(0, width - columns)
            return {"crop_coords": (left, top, left + columns, top + rows)}

    return RatioCrop
