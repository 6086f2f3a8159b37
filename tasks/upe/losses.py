"""The loss of ``upe``: a weighted sum of terms from ``hdr.losses``."""

from __future__ import annotations

import torch

from hdr.engine.config import Plain
from hdr.errors import UserError
from hdr.losses import image as losses
from hdr.losses import no_reference
from tasks.upe.guides import guide_occupancy_penalty
from tasks.upe.model import Enhancer, EnhancerOutput

FORMS = ("charbonnier", "squared", "illumination")
NEED_TARGET = ("reconstruction", "colour", "ssim", "delta_e")


class EnhancementLoss:
    """Terms and weights of a loss configuration (conf/loss/upe); a term of weight 0 is not computed."""

    def __init__(self, settings: Plain) -> None:
        if settings["form"] not in FORMS:
            raise UserError(f"loss.form: found '{settings['form']}', accepted are {', '.join(FORMS)}")
        self.settings = settings

    def __call__(
        self, model: Enhancer, result: EnhancerOutput, photo: torch.Tensor, target: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """The weighted ``loss`` and its unweighted terms; pictures are (N, 3, H, W) display.

        Raises:
            UserError: a term that needs a target has a weight, but the data set has none.
        """
        weights = self.settings
        if target is None:
            needing = [name for name in NEED_TARGET if weights[name]]
            if needing:
                raise UserError(
                    f"loss.{needing[0]}: {weights[needing[0]]} needs targets, and this data set has none; "
                    "choose loss=upe/no_reference or a paired data set"
                )
        terms: dict[str, torch.Tensor] = {}
        output = result.output
        if target is not None:
            if weights["reconstruction"]:
                terms["reconstruction"] = self._reconstruction(model, result, photo, target)
            if weights["colour"]:
                terms["colour"] = losses.cosine_colour(output, target)
            if weights["ssim"]:
                terms["ssim"] = losses.ssim_loss(output, target)
            if weights["delta_e"]:
                terms["delta_e"] = losses.delta_e_loss(output, target) / 100
        if weights["smoothness"]:
            terms["smoothness"] = losses.edge_aware_smoothness(
                result.field,
                photo,
                exponent=weights["exponent"],
                scale=weights["scale"],
                eps=weights["eps"],
                cap=weights["cap"],
                per_channel=weights["per_channel"],
            )
        if weights["total_variation"]:
            terms["total_variation"] = no_reference.illumination_smoothness(result.field)
        if weights["occupancy"] and result.guide is not None:
            terms["occupancy"] = guide_occupancy_penalty(result.guide, model.network.depth)
        if weights["exposure"]:
            terms["exposure"] = no_reference.exposure(output)
        if weights["colour_constancy"]:
            terms["colour_constancy"] = no_reference.colour_constancy(output)
        if weights["spatial_consistency"]:
            terms["spatial_consistency"] = no_reference.spatial_consistency(output, photo)
        if not terms:
            raise UserError("loss: every weight is 0, so there is nothing to learn")
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return {"loss": loss, **{name: term.detach() for name, term in terms.items()}}

    def _reconstruction(
        self, model: Enhancer, result: EnhancerOutput, photo: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        form = self.settings["form"]
        if form == "illumination":
            return losses.reconstruction_by_illumination(photo, model.illumination(photo, result.field), target)
        if form == "squared":
            return losses.reconstruction(result.output, target)
        return losses.charbonnier(result.output, target)
