"""Held-out numbers of a VAE: the parts of its bound, and estimates of its likelihood."""

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from scorewise.data.datamodule import Batch
from scorewise.latent import VAE
from scorewise.noise import Draws
from scorewise.tasks.vae_settings import AnnealingSettings, LikelihoodSettings, ValidationSettings

IN_DOUBLE = "ais_float64_shift"
SIMULATED = ("simulated_forward", "simulated_backward", "simulated_gap")
"""Numbers of images that are drawn from the model, and are in no split."""
WATCHED, IDENTITY = 64, 64
"""Images, and draws of each, whose scores are held against Stein's identity."""


class VAELikelihood:
    """A VAE, its parts of the bound, and the likelihood of the first test images.

    Args:
        vae: with weights.
        field: of its score network, see `score_field`.
        annealing: of the test.
        test: of how many images, and what else.
        validation: a short annealing.
        seed: of all noise.
    """

    def __init__(
        self,
        vae: VAE,
        field: str,
        annealing: AnnealingSettings,
        test: LikelihoodSettings,
        validation: ValidationSettings,
        seed: int,
    ) -> None:
        self.vae, self.field, self.test, self.validation, self.seed = vae, field, test, validation, seed
        self.ais, self.rows = annealing.ais(), annealing.rows
        self.val_ais = validation.ais(self.ais)

    @property
    def bounded(self) -> bool:
        """Whether the sum that training minimises is minus the ELBO."""
        return self.vae.explicit and self.vae.closed_form

    def observed(self, batch: Batch) -> tuple[Tensor, Draws]:
        """Return what the model is a law of, of the images of a batch, and their draws."""
        draws = Draws.of(self.seed, batch.epoch_B, batch.index_B)
        return self.vae.observation.observe(batch.x_BD, draws), draws

    def terms(self, o_BD: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return reconstruction and prior per image, and minus the ELBO where it is known."""
        with torch.no_grad():
            terms = self.vae.terms(o_BD, draws, self.field)
        found = {"reconstruction": terms.reconstruction_B, "prior": terms.prior_B}
        return found | ({"neg_elbo": terms.total()} if self.bounded else {})

    def identity(self, o_BD: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return what Stein's identity gives at the first images, where scores are estimated."""
        if self.vae.closed_form:
            return {}
        few = Draws(draws.key_B[:WATCHED]).fork("identity")
        return {"score_identity": self.vae.identity(o_BD[:WATCHED], IDENTITY, few, self.field)}

    def validated(self, o_BD: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return a short estimate of the likelihood of validation images."""
        annealed = self.vae.annealed(self.val_ais, o_BD, draws, self.rows)
        return {"ais": -annealed.log_marginal_B, **self._bound(o_BD, draws)}

    def estimated(
        self, o_BD: Tensor, draws: Draws, index_B: Tensor, tell: Callable[[float], None] | None
    ) -> dict[str, Tensor]:
        """Return the likelihood of observed images by annealing, and what it rests on.

        Args:
            o_BD: observed images.
            draws: of these images.
            index_B: their places in the split, ascending.
            tell: takes the share that is done.
        """
        annealed = self.vae.annealed(self.ais, o_BD, draws, self.rows, tell)
        found = {"ais": -annealed.log_marginal_B, "ais_acceptance": annealed.acceptance_B, **self._bound(o_BD, draws)}
        if checked := int((index_B < self.test.checked).sum()):
            double, same = copy.deepcopy(self.vae).double(), Draws(draws.key_B[:checked])
            exact = double.annealed(replace(self.ais, rough=False), o_BD[:checked].double(), same, self.rows)
            found[IN_DOUBLE] = annealed.log_marginal_B[:checked] - exact.log_marginal_B
        if self.test.simulated and bool((index_B == 0).any()):  # by one process of several
            drawn_B = torch.arange(self.test.simulated, device=o_BD.device)
            low_B, high_B = self.vae.simulated(self.ais, Draws.of(self.seed, -1, drawn_B), self.rows)
            found |= dict(zip(SIMULATED, (-low_B, -high_B, high_B - low_B), strict=True))
        return found

    def _bound(self, o_BD: Tensor, draws: Draws) -> dict[str, Tensor]:
        return {"iwae": -self.vae.iwae(o_BD, self.test.importance, draws)} if self.vae.explicit else {}

    def conventions(self) -> dict[str, str]:
        """Return what every number means."""
        test, law = self.test, self.vae.observation.describe()
        rows = f"{self.ais.temperatures} temperatures x {self.ais.chains} chains"
        images = "all images tested"
        if test.test_size is not None:
            images = f"the first {test.test_size} test images, or as many as were tested"
        return {
            "reconstruction": f"- log p(x|z), nats per image, one draw of z; {law}",
            "prior": "- log p(z), nats, mean over draws of q(z|x)",
            "neg_elbo": "- E log p(x|z) + KL, nats per image: an upper bound of - log p(x)",
            "score_identity": f"- E[sum_d s_d (z_d - E z_d)] / D, {IDENTITY} draws of q(z|x), {WATCHED} images: 1 "
            "for the true score; near 0 the entropy has no say and the encoder collapses to a point "
            "(kernel estimators are fitted to the draws themselves, so 1 does not show that they are right)",
            "iwae": f"- log p(x) by {test.importance} importance-weighted draws, nats, {images}",
            "ais": f"- log p(x) by annealed importance sampling, {rows}, nats per image, {images}; {law}",
            "ais_acceptance": "share of trajectories that were accepted",
            IN_DOUBLE: f"ais in float64 throughout less ais as it is, nats, first {test.checked} images",
            "simulated_forward": f"- log p(x) of {test.simulated} images drawn from the model, by ais: from above",
            "simulated_backward": "the same by annealing backward from the latents they were drawn from: from below",
            "simulated_gap": "their difference, nats: what ais can be wrong by on such images, on average",
        }
