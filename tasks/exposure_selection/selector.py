"""Our selector: from one preview, the predicted score of every subset of any ladder.

A subset's score is a function of a set, so the network is one too (Zaheer et al., Deep Sets, NeurIPS 2017):
``score(S | x) = level(x) + rho(phi(x) + sum over e in S of psi(x, e))``. ``psi`` runs once per exposure, a subset only
sums and passes the small ``rho``; nothing depends on the ladder's length, order or step, nor on the number of members.

**What the output means.** It is the score itself, in the units of the figure that was learnt (dB for PSNR). The other
quantities follow from it: relative to the best candidate it is minus the expected regret, its largest value over the
candidates is the quality to expect, and the softmax of score / temperature is a probability, since a constant that all
candidates share does not change a softmax. One number thus serves every loss, subsets of two and of three exposures
are comparable, and the expected quality answers to whatever constraints the candidates have to meet. ``level`` carries
what is common to all subsets of a photo, which varies by many decibels, so that ``rho`` has only the differences to
learn, which decide the choice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdr.errors import UserError
from hdr.ops.encoding import srgb_to_linear
from tasks.exposure_selection.histogram import (
    CELLS,
    DARKEST,
    clipped_pyramid,
    exposed_histogram,
    histogram_pyramid,
)

_PERIODS = (32.0, 16.0, 8.0, 4.0, 2.0)  # EV, of the Fourier features
_EXPOSED_BINS = 29


class Selector(nn.Module, ABC):
    """What chooses among subsets: a value per candidate, higher is better."""

    in_scores: ClassVar[bool] = False
    """Whether values are predicted scores (dB for PSNR); otherwise they are logits."""
    takes_stack: ClassVar[bool] = False
    """Whether it looks at all exposures (N, K, 3, H, W) instead of one preview."""
    temperature: float = 1.0
    """What values are divided by to become the logits of the probability of being best."""

    @abstractmethod
    def forward(self, preview: Tensor, evs: Tensor, scalars: Tensor | None, subsets: Tensor) -> Tensor:
        """Values (N, S).

        Args:
            preview: (N, 3, H, W), sRGB-encoded in [0, 1].
            evs: (N, K), the ladder's EVs relative to the preview.
            scalars: (N, F), further facts of the capture, or None.
            subsets: (S, k) int64, candidates as indices into the ladder.
        """


class Judgement(NamedTuple):
    """Values of one network as statements about the candidates."""

    relative: Tensor  # (N, S), <= 0: minus the regret to expect; -inf where not valid
    quality: Tensor  # (N,), the largest value; -inf where no candidate is valid


def judge(values: Tensor, valid: Tensor | None = None) -> Judgement:
    """Split values (N, S) into those relative to the best valid candidate, and that candidate's own."""
    values = values if valid is None else values.masked_fill(~valid, -torch.inf)
    quality = values.amax(dim=1)
    reference = torch.where(torch.isinf(quality), 0.0, quality)
    return Judgement(values - reference[:, None], quality)


def probabilities(values: Tensor, valid: Tensor | None = None, temperature: float = 1.0) -> Tensor:
    """The probability (N, S) of each candidate to be the best: 0 where not valid, rows summing to 1 if one is."""
    return log_probabilities(values, valid, temperature).exp()


def log_probabilities(values: Tensor, valid: Tensor | None = None, temperature: float = 1.0) -> Tensor:
    """The logarithm of :func:`probabilities`; -inf where not valid, without gradient there."""
    logits = values.to(torch.promote_types(values.dtype, torch.float32)) / temperature
    if valid is None:
        return F.log_softmax(logits, dim=1)
    some = valid.any(dim=1, keepdim=True)
    logits = logits.masked_fill(some & ~valid, -torch.inf)
    return F.log_softmax(logits, dim=1).masked_fill(~valid, -torch.inf)


def membership(subsets: Tensor, exposures: int, dtype: torch.dtype) -> Tensor:
    """(S, exposures): 1 where an exposure is a member. -1 in ``subsets`` (S, k) stands for no member."""
    ladder = torch.arange(exposures, device=subsets.device)
    return (subsets[..., None] == ladder).to(dtype).sum(dim=1)


class Embedding(NamedTuple):
    """All that a photo and its ladder contribute to the score of a subset."""

    exposures: Tensor  # (N, K, d), psi
    photo: Tensor  # (N, 1, d), phi's share in rho
    level: Tensor  # (N, 1), the score that all subsets have in common


class SubsetSelector(Selector):
    """Deep sets over exposures; see the module's text.

    ``phi`` is a small convolutional encoder of log light and display values, beside histograms of log luminance over a
    pyramid of cells and the clipped shares in them (the features of Wang et al., Learning a Reinforced Agent for
    Flexible Exposure Bracketing Selection, CVPR 2020). ``psi`` gets ``phi``, Fourier features of the EV, and the
    histograms as that exposure would have them: moved by the EV and clipped, so that nothing has to be learnt about
    what an exposure does to a histogram.

    Args:
        width: d, of ``phi``, ``psi`` and ``rho``.
        channels: of the encoder's convolutions, each of which halves the preview.
        bins: of the preview's histograms.
        scalars: F, further facts of the capture; NaN in them stands for unknown, which the network is told.
        dropout: on ``phi``.
        temperature: of the probabilities, in the figure's unit: how much score makes a candidate e times as likely to
            be the best; equal to ``tau`` of the loss, so that soft labels are met by scores and not by multiples.
        centre: a typical score; values start near it.
        spread: how much scores vary, for outputs of the size that networks like.

    Raises:
        UserError: a value out of its range.
    """

    in_scores = True

    def __init__(
        self,
        *,
        width: int = 128,
        channels: Sequence[int] = (32, 64, 96, 128, 160),
        bins: int = 25,
        scalars: int = 0,
        dropout: float = 0.1,
        temperature: float = 1.0,
        centre: float = 30.0,
        spread: float = 5.0,
    ) -> None:
        super().__init__()
        if min(width, *channels) < 1 or bins < 2 or scalars < 0:
            raise UserError(
                f"model: width {width}, channels {list(channels)}, bins {bins}, scalars {scalars}: accepted are widths"
                " from 1, bins from 2 and scalars from 0 on"
            )
        if not (temperature > 0 and spread > 0 and 0 <= dropout < 1):
            raise UserError(
                f"model: temperature {temperature}, spread {spread}, dropout {dropout}: accepted are a temperature and"
                " a spread above 0, and a dropout from 0 to below 1"
            )
        self.bins, self.scalars, self.temperature = bins, scalars, float(temperature)
        self.centre, self.spread = float(centre), float(spread)
        layers: list[nn.Module] = []
        inputs = 6
        for outputs in channels:
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()]
            inputs = outputs
        self.encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        features = inputs + CELLS * (bins + 2) + 2 * scalars
        self.phi = nn.Sequential(
            nn.Linear(features, 2 * width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(2 * width, width), nn.SiLU()
        )
        self.level = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        self.psi_exposure = nn.Linear(CELLS * _EXPOSED_BINS + 1 + 2 * len(_PERIODS), width)
        self.psi_photo = nn.Linear(width, width, bias=False)
        self.psi = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.rho_exposure = nn.Linear(width, width)
        self.rho_photo = nn.Linear(width, width)
        self.rho = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, preview: Tensor, evs: Tensor, scalars: Tensor | None, subsets: Tensor) -> Tensor:
        """Predicted scores (N, S): :meth:`score` of :meth:`embed`."""
        return self.score(self.embed(preview, evs, scalars), subsets)

    def embed(self, preview: Tensor, evs: Tensor, scalars: Tensor | None = None) -> Embedding:
        """Look at the photo and at each exposure of the ladder, once."""
        shares = histogram_pyramid(preview, self.bins)
        facts = [
            self.encoder(torch.cat([_log_light(preview), preview], dim=1)),
            torch.cat([_even(shares), _even(clipped_pyramid(preview))], dim=2).flatten(1),
            *self._scalars(scalars, preview),
        ]
        photo = self.phi(torch.cat(facts, dim=1))
        exposed = _even(exposed_histogram(shares, evs, _EXPOSED_BINS)).flatten(2)
        each = self.psi_exposure(torch.cat([exposed, ev_features(evs)], dim=2)) + self.psi_photo(photo)[:, None]
        return Embedding(self.rho_exposure(self.psi(each)), self.rho_photo(photo)[:, None], self.level(photo))

    def score(self, embedding: Embedding, subsets: Tensor) -> Tensor:
        """Predicted scores (N, S) of subsets (S, k), which may be handed over in parts; -1 in them is no member."""
        exposures, photo, level = embedding
        members = membership(subsets, exposures.shape[1], exposures.dtype)
        differences = self.rho(members @ exposures + photo)[..., 0]
        # In float32: at 40 dB the 8 bits of autocast resolve no more than a quarter of a decibel.
        return (differences.float() + level.float()) * self.spread + self.centre

    def _scalars(self, scalars: Tensor | None, preview: Tensor) -> list[Tensor]:
        if not self.scalars:
            return []
        if scalars is None:
            return [preview.new_zeros(len(preview), 2 * self.scalars)]
        if scalars.shape[-1] != self.scalars:
            raise ValueError(f"wanted {self.scalars} scalars per photo, got {scalars.shape[-1]}")
        known = ~torch.isnan(scalars)
        return [torch.where(known, scalars, 0.0).to(preview.dtype), known.to(preview.dtype)]


class ExportForm(nn.Module):
    """A selector as a module of tensors for ONNX: preview, evs, subsets, and scalars if it has any, to values."""

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        self.selector = selector
        self.eval()

    def forward(self, preview: Tensor, evs: Tensor, subsets: Tensor, scalars: Tensor | None = None) -> Tensor:
        values: Tensor = self.selector(preview, evs, scalars, subsets)
        return values


def ev_features(evs: Tensor) -> Tensor:
    """EVs (...) as features (..., 11): themselves in units of 8 EV, sines and cosines with periods of 32 to 2 EV."""
    angles = [evs * (2 * torch.pi / period) for period in _PERIODS]
    return torch.stack([evs / 8, *map(torch.sin, angles), *map(torch.cos, angles)], dim=-1)


def _log_light(display: Tensor) -> Tensor:
    """Log light of each channel, from 0 (12 stops below white) to 1."""
    light = srgb_to_linear(display.float()).clamp(2.0**DARKEST, 1.0)
    return torch.log2(light) / -DARKEST + 1


def _even(shares: Tensor) -> Tensor:
    """Roots of shares: the few pixels in highlights, which decide an exposure, weigh more than their number."""
    return (shares + 1e-4).sqrt()
