"""What a selector learns from: the scores of all candidates are known, so no target has to be a single right answer.

The regret of candidate c is ``d_c = max over valid candidates of score - score_c``, in the figure's unit (dB for PSNR),
p the network's probability of each candidate. Every mean is over the valid candidates of a photo, then over the photos
that have one; what is not valid is never chosen and gets no gradient, whatever stands there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from hdr.engine.config import Plain
from hdr.errors import UserError
from hdr.losses.image import masked_mean
from hdr.ops.fusion import PRESETS, exposure_fusion
from tasks.exposure_selection.selector import Selector, judge, log_probabilities, membership

Choice = Literal["soft", "straight_through"]
TERMS = ("hard", "soft", "expected", "regression", "quality", "distribution", "reconstruction")
_LARGEST = 1e6  # dB: replaces the infinite regret of what is not valid, so that no infinity meets a zero


def regrets(scores: Tensor, valid: Tensor) -> Tensor:
    """(N, S) >= 0: how much worse each candidate is than the best valid one; 1e6 where not valid."""
    return (-judge(scores, valid).relative).masked_fill(~valid, _LARGEST)


def hard_label(logs: Tensor, scores: Tensor, valid: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy ``-log p`` of the best candidate, the first of equals; the target of Segal's DHDRNet.

    With class ``weights`` (S,) the weighted mean ``sum w_y (-log p_y) / sum w_y``.
    """
    best = scores.masked_fill(~valid, -torch.inf).argmax(dim=1, keepdim=True)
    losses = -logs.gather(1, best)[:, 0]
    some = valid.any(dim=1)
    return masked_mean(losses, some if weights is None else weights.to(losses)[best[:, 0]] * some)


def soft_label(logs: Tensor, regret: Tensor, valid: Tensor, tau: float) -> Tensor:
    """Cross-entropy ``-sum q log p`` with ``q = softmax(-d / tau)``: candidates nearly as good are nearly as right."""
    targets = F.softmax(-regret / tau, dim=1)
    return masked_mean(-(targets * logs.masked_fill(~valid, 0.0)).sum(dim=1), valid.any(dim=1))


def expected_regret(logs: Tensor, regret: Tensor, valid: Tensor) -> Tensor:
    """``sum p d``: what choosing by chance from p loses on average."""
    return masked_mean((logs.exp() * regret.masked_fill(~valid, 0.0)).sum(dim=1), valid.any(dim=1))


def regret_regression(values: Tensor, regret: Tensor, valid: Tensor, d_max: float, delta: float) -> Tensor:
    """Huber distance between minus the regret and the value relative to that of the best candidate.

    The best is the one with the highest score: relative to the highest value, a wrong candidate that once is on top
    would never see its own error. Regrets count up to ``d_max``: a candidate that is worse may be predicted as bad as
    one likes. Most candidates of a free choice are that bad, so those below and those from ``d_max`` on count half each
    (alone where there is one kind only). ``delta``: where the Huber distance turns from squares to lines.
    """
    best = regret.argmin(dim=1, keepdim=True)
    predicted = (values - values.gather(1, best)).masked_fill(~valid, 0.0)
    hopeless = regret >= d_max
    predicted = torch.where(hopeless, predicted.clamp(min=-d_max), predicted)
    distance = F.huber_loss(predicted, -regret.clamp(max=d_max), reduction="none", delta=delta)
    groups = torch.stack([valid & ~hopeless, valid & hopeless])
    counts = groups.sum(dim=2)
    means = distance.masked_fill(~groups, 0.0).sum(dim=2) / counts.clamp(min=1)
    kinds = (counts > 0).sum(dim=0)
    return masked_mean(means.sum(dim=0) / kinds.clamp(min=1), kinds > 0)


def quality_regression(values: Tensor, scores: Tensor, valid: Tensor, delta: float) -> Tensor:
    """Huber distance between the largest value and the best score: what to expect of the best choice."""
    some = valid.any(dim=1)
    predicted, best = (judge(each, valid).quality.masked_fill(~some, 0.0) for each in (values, scores))
    return masked_mean(F.huber_loss(predicted, best, reduction="none", delta=delta), some)


def distribution(logs: Tensor, scores: Tensor, valid: Tensor) -> Tensor:
    """Mean ``(p - q)^2`` with ``q_c = (M_max - M_c) / sum (M_max - M)``, M the squared error of a PSNR ``scores``.

    The target of DHDRNet's reconstruction experiments, which took the softmax over the batch instead of the candidates.
    """
    errors = torch.pow(10.0, -scores.masked_fill(~valid, 0.0) / 10).masked_fill(~valid, 0.0)
    better = (errors.amax(dim=1, keepdim=True) - errors).masked_fill(~valid, 0.0)
    total = better.sum(dim=1, keepdim=True)
    equal = valid.to(better.dtype) / valid.sum(dim=1, keepdim=True).clamp(min=1)
    targets = torch.where(total > 0, better / torch.where(total > 0, total, 1.0), equal)
    return _mean_of_means((logs.exp() - targets).square(), valid)


def chosen_exposures(probability: Tensor, subsets: Tensor, stack: Tensor, choice: Choice) -> Tensor:
    """The exposures that a network chooses, with gradients to its probabilities.

    ``soft``: member j is the mean of the members j of all candidates, weighted by their probability.
    ``straight_through``: the members of the likeliest candidate, with the gradient that ``soft`` has at certainty. It
    looks only at the neighbourhood of the choice, and can stay with a bad one.

    Args:
        probability: (N, S).
        subsets: (S, k), each in the order of the ladder.
        stack: (N, K, 3, H, W).
        choice: which.

    Returns:
        (N, k, 3, H, W).
    """
    if choice == "straight_through":
        one = F.one_hot(probability.argmax(dim=1), probability.shape[1]).to(probability.dtype)
        probability = one + probability - probability.detach()
    exposures = stack.shape[1]
    share = torch.stack([probability @ membership(m[:, None], exposures, probability.dtype) for m in subsets.T], dim=1)
    return torch.einsum("njk,nkchw->njchw", share.to(stack.dtype), stack)


def reconstruction(
    probability: Tensor, subsets: Tensor, stack: Tensor, reference: Tensor, *, choice: Choice, weighting: str
) -> Tensor:
    """Squared error (N,) between the fusion of :func:`chosen_exposures` and a reference (N, 3, H, W), display.

    The fused picture is not clamped, so that gradients do not vanish. DHDRNet's loss of that name read the fused
    picture from a file, and no gradient reached the network.
    """
    fused = exposure_fusion(chosen_exposures(probability, subsets, stack, choice), weighting)
    return (fused - reference).square().mean(dim=(1, 2, 3))


def balanced_weights(scores: Tensor) -> Tensor:
    """Class weights (S,) for :func:`hard_label`: inversely proportional to how often a candidate is the best.

    Of the scores (N, S) of training scenes, higher is better, NaN where not valid. Their mean over the scenes that have
    a valid candidate is 1; a candidate that never is the best has 0.
    """
    known = scores[torch.isfinite(scores).any(dim=1)]
    labels = known.masked_fill(~torch.isfinite(known), -torch.inf).argmax(dim=1)
    counts = torch.bincount(labels, minlength=scores.shape[1]).float()
    share = counts * (counts > 0).sum() / max(len(labels), 1)
    return torch.where(counts > 0, 1 / share.clamp(min=1e-12), 0.0)


class SelectionLoss:
    """A weighted sum of the terms above, as a configuration says (conf/loss/exposure_selection).

    Args:
        settings: a weight for each of :data:`TERMS`, of which those of 0 are not computed; ``tau`` of the soft label
            and ``d_max`` and ``huber`` (delta) of the regressions, in the figure's unit; ``choice`` and ``weighting``
            of the reconstruction; ``balance`` of the hard label.

    Raises:
        UserError: a value that is not accepted, or nothing but weights of 0.
    """

    class_weights: Tensor | None = None
    """(S,) of the hard label, for ``balance``: set by whoever knows the training scenes."""

    def __init__(self, settings: Plain) -> None:
        for name in ("tau", "d_max", "huber"):
            if not settings[name] > 0:
                raise UserError(f"loss.{name}: {settings[name]} is not possible; give a number above 0")
        if settings["choice"] not in ("soft", "straight_through"):
            raise UserError(f"loss.choice: '{settings['choice']}' is not known; choose soft or straight_through")
        if settings["weighting"] not in PRESETS:
            raise UserError(
                f"loss.weighting: '{settings['weighting']}' is not known; choose one of {', '.join(PRESETS)}"
            )
        self.settings = settings
        self.terms = [name for name in TERMS if settings[name]]
        if not self.terms:
            raise UserError("loss: every weight is 0, so there is nothing to learn")
        if settings["balance"] and "hard" not in self.terms:
            raise UserError("loss.balance=true weights the hard label, and loss.hard is 0; give loss.hard=1")

    @property
    def needs_stack(self) -> bool:
        """Whether it wants ``stack`` and ``reference``."""
        return "reconstruction" in self.terms

    def __call__(
        self,
        selector: Selector,
        values: Tensor,
        scores: Tensor,
        valid: Tensor,
        *,
        subsets: Tensor | None = None,
        stack: Tensor | None = None,
        reference: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The weighted ``loss`` and its unweighted terms.

        Args:
            selector: whose values they are.
            values: (N, S).
            scores: (N, S), higher is better; anything where not valid.
            valid: (N, S), bool.
            subsets: (S, k), for the reconstruction.
            stack: (N, K, 3, H, W), display, finite; likewise.
            reference: (N, 3, H, W), display; likewise.

        Raises:
            UserError: a term that this selector, or this data, does not serve.
        """
        options = self.settings
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        logs = log_probabilities(values, valid, selector.temperature)
        regret = regrets(scores, valid)
        found: dict[str, Tensor] = {}
        if "hard" in self.terms:
            found["hard"] = hard_label(logs, scores, valid, self.class_weights)
        if "soft" in self.terms:
            if selector.in_scores and selector.temperature != options["tau"]:
                raise UserError(
                    f"loss.tau: {options['tau']} is not model.temperature, {selector.temperature}; with the soft label"
                    " they are the same, or the model's values would not be scores"
                )
            found["soft"] = soft_label(logs, regret, valid, options["tau"])
        if "expected" in self.terms:
            found["expected"] = expected_regret(logs, regret, valid)
        if "regression" in self.terms:
            found["regression"] = regret_regression(values, regret, valid, options["d_max"], options["huber"])
        if "quality" in self.terms:
            if not selector.in_scores:
                raise UserError(f"loss.quality: {type(selector).__name__} gives logits, not scores; set it to 0")
            found["quality"] = quality_regression(values, scores, valid, options["huber"])
        if "distribution" in self.terms:
            found["distribution"] = distribution(logs, scores, valid)
        if "reconstruction" in self.terms:
            if subsets is None or stack is None or reference is None:
                raise UserError("loss.reconstruction: the samples hold no exposures and reference; set it to 0")
            errors = reconstruction(
                logs.exp(), subsets, stack, reference, choice=options["choice"], weighting=options["weighting"]
            )
            found["reconstruction"] = masked_mean(errors, valid.any(dim=1))
        return {"loss": self._total(found), **{name: term.detach() for name, term in found.items()}}

    def _total(self, terms: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([self.settings[name] * term for name, term in terms.items()]).sum()


def _mean_of_means(values: Tensor, valid: Tensor) -> Tensor:
    """The mean over the valid candidates of each photo, then over the photos that have one."""
    counts = valid.sum(dim=1)
    means = values.masked_fill(~valid, 0.0).sum(dim=1) / counts.clamp(min=1)
    return masked_mean(means, counts > 0)
