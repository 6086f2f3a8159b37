"""Virtual shoots: what a plan holds, bursts and light, and that the sliders can be learnt from what the files show."""

from __future__ import annotations

import datetime
import itertools
import math

import numpy as np
import pytest
import torch

from hdr.data.shoots.session import Shoot, Taken, plan_shoot, take_photos
from hdr.data.shoots.style import SLIDERS, developed, draw_style
from hdr.ops.colour import luminance


def shoot(seed: int, photos: int = 40, style: int = 0) -> Shoot:
    return plan_shoot(f"shoot-{seed}", draw_style("s", np.random.default_rng(style)), photos, (9, seed))


def bursts(plan: Shoot) -> list[list[int]]:
    numbers = range(len(plan.frames))
    return [list(group) for _, group in itertools.groupby(numbers, key=lambda i: plan.frames[i].place)]


def test_a_plan_follows_from_its_seed() -> None:
    first, again, other = shoot(1), shoot(1), shoot(2)
    assert first.frames == again.frames
    assert (first.kind, first.body.model, first.offset) == (again.kind, again.body.model, again.offset)
    assert first.frames != other.frames


@pytest.mark.parametrize("photos", [1, 7, 40])
def test_a_plan_has_as_many_photos_as_asked_for(photos: int) -> None:
    plan = shoot(5, photos)
    assert len(plan.frames) == photos
    assert len({frame.name for frame in plan.frames}) == photos


def test_bursts_show_one_place_and_time_goes_on() -> None:
    lengths, gaps = [], []
    for seed in range(3):
        plan = shoot(seed)
        for burst in bursts(plan):
            frames = [plan.frames[i] for i in burst]
            assert len({(f.seed, f.family, f.error) for f in frames}) == 1
            assert len({f.shift for f in frames}) == len(frames)
            assert frames[-1].capture_time - frames[0].capture_time < datetime.timedelta(minutes=3)
            lengths.append(len(frames))
        times = [frame.capture_time for frame in plan.frames]
        assert times == sorted(set(times))
        assert datetime.timedelta(minutes=5) < times[-1] - times[0] < datetime.timedelta(hours=3)
        gaps += [
            plan.frames[b[0]].capture_time - plan.frames[a[-1]].capture_time
            for a, b in itertools.pairwise(bursts(plan))
        ]
    assert 2 < np.mean(lengths) < 6
    assert min(gaps) > datetime.timedelta(seconds=25)


def test_light_changes_slowly() -> None:
    travelled = []
    for seed in range(4):
        plan = shoot(seed)
        light = np.log2([frame.light for frame in plan.frames])
        minutes = np.array([(f.capture_time - plan.frames[0].capture_time).total_seconds() / 60 for f in plan.frames])
        speed = np.abs(np.diff(light, axis=0)).max(1) / np.maximum(np.diff(minutes), 0.05)
        assert speed.max() < 0.3, "stops a minute"
        travelled.append(np.ptp(light.mean(1)))
    assert 0.1 < np.mean(travelled) < 2.0


def test_photographers_miss_exposure_by_a_known_amount() -> None:
    errors = [frame.error for seed in range(40) for frame in shoot(seed, 1).frames]
    assert np.mean(errors) == pytest.approx(-0.15, abs=0.3)
    assert 0.45 < np.std(errors) < 0.85  # the root of 0.35^2 + 0.55^2 is 0.65


def taken(seeds: range, size: int, photos: int = 20) -> list[list[Taken]]:
    return [list(take_photos(shoot(seed, photos, seed % 2), size)) for seed in seeds]


def test_photos_agree_with_their_plan() -> None:
    plan = shoot(3, 12)
    photos = list(take_photos(plan, 96))
    again = list(take_photos(plan, 96))
    rows, columns = plan.body.pixels
    for number, photo in enumerate(photos):
        image = photo.image
        assert photo.frame == plan.frames[number]
        assert image.samples.shape[1] == 96
        assert image.samples.shape[0] % 2 == 0
        assert abs(image.samples.shape[0] - 96 * rows / columns) <= 1
        assert torch.equal(image.samples, again[number].image.samples)
        assert photo.sliders == again[number].sliders
        assert (image.exposure_time, image.aperture) == (photo.settings.time, photo.settings.aperture)
        assert image.iso == photo.settings.iso
        assert image.capture_time == photo.frame.capture_time
        assert (image.make, image.model) == ("Imaginary", plan.body.model)
        assert photo.facts.family == photo.frame.family
        assert abs(photo.facts.exposure_error - photo.frame.error - photo.frame.thirds / 3) < 0.6
    for burst in bursts(plan):
        assert len({photos[i].settings.aperture for i in burst}) == 1
        for i in burst:
            steps = 3 * math.log2(photos[i].settings.time / photos[burst[0]].settings.time)
            assert abs(steps - photos[i].frame.thirds) < 0.3


def features(photo: Taken) -> list[float]:
    """What a simple program measures on the pixels: a histogram of luminance, and red over blue."""
    linear = torch.nn.functional.avg_pool2d(developed(photo.image)[None], 4)[0].clamp(min=1e-4)
    histogram = torch.histc(luminance(linear).log2(), 16, -10, 2) / linear[0].numel()
    red, _, blue = linear.mean((1, 2)).tolist()
    return [*histogram.sqrt().tolist(), math.log2(red / blue), float(luminance(linear).log2().mean())]


@pytest.mark.slow
def test_sliders_can_be_learnt_from_pixels_and_no_better_than_the_oracle() -> None:
    """Ridge regression on histograms, shoots held out, with each shoot's own mean residual on every other photo."""
    shoots = taken(range(10), 96)
    x = np.array([[*features(photo), 1.0] for photos in shoots for photo in photos])
    y = np.array([[photo.sliders[name] for name in SLIDERS] for photos in shoots for photo in photos])
    clean = np.array([[photo.clean[name] for name in SLIDERS] for photos in shoots for photo in photos])
    group = np.repeat(np.arange(len(shoots)), len(shoots[0]))
    oracle = np.abs(y - clean).mean(0)
    ridge, constant = np.zeros(len(SLIDERS)), np.zeros(len(SLIDERS))
    for held in range(len(shoots)):
        rest, shown, asked = group != held, group == held, group == held
        shown, asked = shown & (np.arange(len(y)) % 2 == 0), asked & (np.arange(len(y)) % 2 == 1)
        weights = np.linalg.solve(x[rest].T @ x[rest] + 2 * np.eye(x.shape[1]), x[rest].T @ y[rest])
        offset = (y[shown] - x[shown] @ weights).mean(0)
        ridge += np.abs(y[asked] - x[asked] @ weights - offset).mean(0) / len(shoots)
        constant += np.abs(y[asked] - y[rest].mean(0)).mean(0) / len(shoots)
    for name, value in (("Exposure2012", 0.85), ("Highlights2012", 0.95), ("Shadows2012", 0.8), ("Whites2012", 0.9)):
        assert ridge[SLIDERS.index(name)] < value * constant[SLIDERS.index(name)], name
    assert (ridge > 0.9 * oracle).all()
    assert (oracle < 0.8 * constant).all()
