"""Variational autoencoders, their entropy's gradient by a score network, in closed form, or from particles."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from scorewise.data.datamodule import Batch
from scorewise.data.roots import cache_root
from scorewise.data.source import Source
from scorewise.latent import AIS, SCORE_OBJECTIVES, VAE, field_of, mismatch, reads_conditionals
from scorewise.noise import Draws
from scorewise.objectives.objective import Objective
from scorewise.quality import ExtractorStore, ReferenceImages, eight_bits, meanings, metric_values
from scorewise.tasks.optimisation import Optimisation
from scorewise.tasks.task import NotFinite, Task

SAMPLES = "samples (mean images of latents from the prior, in 8 bits)"
IN_DOUBLE = "ais_float64_shift"
WATCHED, IDENTITY = 64, 64
"""Images, and draws of each, whose scores are held against Stein's identity."""
ALONG, STEPS = "along each latent, -2 to 2", 9
"""The panel of images along each latent, and how many of them a row has."""


@final
class ImplicitVAE(Task):
    """Training a VAE and estimating its likelihood.

    In every step one draw z of q(z|x) moves the score network by its objective, and another one encoder and decoder,
    with - log p(x|z), - log p(z) and the surrogate of minus the entropy, whose score is held fixed. Only the ELBO of
    an explicit encoder is logged as one: the value of the surrogate is no entropy. Weights are those of the last step.

    Test metrics, with standard errors: reconstruction and prior of every test image, and of the first test_size ones
    ais, minus the estimate of log p(x) by annealed importance sampling; for explicit encoders neg_elbo and iwae.

    Args:
        model, optimisation, source, smoothing, seed: see `Task`; smoothing must be 0.
        objective: of the score network; None where there is none.
        monitor: None; no held-out number compares implicit with explicit encoders while training.
        score_lr: learning rate of the score network's own optimiser; None: that of the other.
        test_size: test images whose likelihood is estimated; None: all.
        temperatures, chains, leapfrog, step, acceptance, growth, jitter: of annealing, see `AIS`.
        rows: chains of how many images times chains are annealed at once.
        importance: draws of the importance-weighted bound.
        simulated: images drawn from the model that are annealed forward and backward; 0 for none.
        checked: test images that are annealed in float64 too; 0 for none.
        val_size: validation images that are annealed in every validation; 0 for none.
        val_temperatures, val_chains: of those.
        encodings: draws of q(z|x) per image whose mean and standard deviation `predict_step` gives.
        shown: images in the picture.
        rough: see `AIS`.
        samples: mean images of latents from the prior whose FID and KID against all test images are taken; None: none.
        features: of those, see `ExtractorStore.take`.
        cache: folder that holds features/ with extractors; None: $SCOREWISE_CACHE or the user's cache folder.

    Raises:
        ValueError: an encoder that the scores do not fit, or a setting out of range.
        UserError: there is no such extractor.
    """

    curves = (
        ("train/reconstruction", "- log p(x|z), training batch"),
        ("val/reconstruction", "- log p(x|z), validation"),
        ("val/ais", "- log p(x) by a short AIS, validation"),
    )
    axis = "nats per image"

    def __init__(
        self,
        model: VAE,
        objective: Objective | None,
        optimisation: Optimisation,
        source: Source,
        *,
        smoothing: float,
        seed: int,
        monitor: str | None = None,
        score_lr: float | None = None,
        test_size: int | None = 100,
        temperatures: int = 1000,
        chains: int = 16,
        leapfrog: int = 10,
        step: float = 0.1,
        acceptance: float = 0.8,
        growth: float = 1.02,
        jitter: float = 0.5,
        rows: int = 512,
        importance: int = 500,
        simulated: int = 16,
        checked: int = 4,
        val_size: int = 0,
        val_temperatures: int = 100,
        val_chains: int = 4,
        encodings: int = 64,
        shown: int = 64,
        rough: bool = False,
        samples: int | None = None,
        features: str | None = None,
        cache: str | None = None,
    ) -> None:
        super().__init__(model, optimisation, source, smoothing=smoothing, seed=seed)
        self.model: VAE = model
        if monitor is not None:
            raise ValueError(f"task.monitor={monitor} cannot choose among weights, the last are kept: use null")
        if smoothing:
            raise ValueError(f"a VAE is of images without noise, and data.smoothing={smoothing}: use data.smoothing=0")
        if (objective is None) != (model.score is None):
            raise ValueError("an objective fits the score network of latent.method=score, and nothing else")
        if objective is not None and not isinstance(objective, SCORE_OBJECTIVES):
            raise ValueError(f"{type(objective).__name__} does not fit the score of a law as it is")
        field = field_of(objective)
        conditional = model.score is not None and reads_conditionals(type(model.score.model), field)
        if sentence := mismatch(model.method, model.encoder_name, conditional):
            raise ValueError(sentence)
        if score_lr is not None and not score_lr > 0:
            raise ValueError(f"task.score_lr={score_lr} must be positive, or null for that of the encoder")
        self.objective, self.field, self.score_lr = objective, field, score_lr
        self.test_size, self.importance, self.simulated = test_size, importance, simulated
        self.checked, self.val_size, self.rows = checked, val_size, rows
        self.encodings, self.shown = encodings, shown
        self.ais = AIS(
            temperatures, chains, leapfrog, step, target=acceptance, factor=growth, jitter=jitter, rough=rough
        )
        self.val_ais = replace(self.ais, temperatures=val_temperatures, chains=val_chains)
        self.samples, self._comparison = samples, None
        if samples is not None:
            store = ExtractorStore(cache_root(cache) / "features")
            # Not a module of this one: it is no part of what is trained and saved.
            self._comparison = ReferenceImages(store.take(features, source), source, "test", seed=seed)
            self._comparison.warn_if_few(samples)
        self.automatic_optimization = False
        self.watch: Callable[[float], None] | None = None
        self._annealed, self._panels, self._points = 0, dict[str, Tensor](), list[Tensor]()

    @property
    def name(self) -> str:
        """What this test is called, for files."""
        return "implicit_vae"

    @property
    def total_name(self) -> str:
        """What the sum that training minimises is called."""
        return "neg_elbo" if self.model.explicit and self.model.method == "elbo" else "surrogate_not_an_elbo"

    # Training

    def configure_optimizers(self) -> Any:
        """Return an optimiser of encoder and decoder and one of the score network, with their schedules by step."""
        total = self.trainer.estimated_stepping_batches
        of_score = copy.copy(self.optimisation)
        of_score.lr = self.optimisation.lr if self.score_lr is None else self.score_lr
        moved: list[tuple[Optimisation, list[nn.Parameter]]] = [
            (self.optimisation, self.model.generative_parameters()),
            *([(of_score, self.model.score_parameters())] if self.model.score is not None else []),
        ]
        optimizers = [settings.optimizer(parameters) for settings, parameters in moved]
        schedulers = [
            settings.scheduler(optimizer, total) for (settings, _), optimizer in zip(moved, optimizers, strict=True)
        ]
        return optimizers, schedulers

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Return one step of the score network, where there is one, and one of encoder and decoder.

        Raises:
            NotFinite: a loss or a gradient is not finite.
        """
        model, draws = self.model, Draws.of(self.seed, batch.epoch_B, batch.index_B)
        o_BD = model.observation.observe(batch.x_BD, draws)
        optimizers = _list(self.optimizers(use_pl_optimizer=True))
        if model.score is not None:
            self.score_step(o_BD, draws.fork("score"), optimizers[1].optimizer)
        terms = model.terms(o_BD, draws.fork("encoder"), self.field)
        loss = terms.total().mean()
        norm = self._descend(loss / self.source.dims, model.generative_parameters())
        optimizers[0].step()
        for scheduler in _list(self.lr_schedulers()):
            scheduler.step()
        size = len(o_BD)
        self.log("train/reconstruction", terms.reconstruction_B.detach().mean(), prog_bar=True, batch_size=size)
        self.log("train/prior", terms.prior_B.detach().mean(), batch_size=size)
        self.log(f"train/{self.total_name}", loss.detach(), batch_size=size)
        self.log("train/grad_norm", norm, batch_size=size)

    def score_step(self, o_BD: Tensor, draws: Draws, optimizer: Optimizer) -> None:
        """Move the score network by its objective on a fresh draw of q(z|x), which is data to it."""
        model = self.model
        assert model.score is not None
        assert self.objective is not None
        loss = model.score_loss(self.objective, o_BD, draws)
        gain = self.objective.gain(model.score.model) / model.z
        norm = self._descend(loss.total * gain, model.score_parameters())
        optimizer.step()  # the optimiser itself: Lightning counts the steps of its wrapper, and an iteration is one
        self.log("train/score_loss", loss.total.detach(), batch_size=len(o_BD))
        self.log(f"train/score_loss/{self.objective.name}", loss.total.detach(), batch_size=len(o_BD))
        self.log("train/score_grad_norm", norm, batch_size=len(o_BD))

    def _descend(self, loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
        """Put the clipped gradient of a loss into its parameters, and return its norm."""
        if not torch.isfinite(loss):
            raise NotFinite(f"the loss became {loss.item()} at step {self.global_step + 1}")
        for parameter in parameters:
            parameter.grad = None
        self.manual_backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.optimisation.clip)
        if not torch.isfinite(norm):
            raise NotFinite(f"the gradient became {norm.item()} at step {self.global_step + 1}")
        return norm

    # Held-out numbers

    def on_test_epoch_end(self) -> None:
        """Log means with their standard errors and, if they are asked for, FID and KID of samples."""
        super().on_test_epoch_end()
        if self._comparison is None or self.samples is None:
            return
        self._comparison.extractor.to(self.device)
        generator = torch.Generator().manual_seed(self.seed)
        images = eight_bits(self.model.sample(self.samples, generator), self.source.shape)
        for name, value in metric_values(self._comparison.bounded(images, SAMPLES)).items():
            self.log(f"test/{name}", value, rank_zero_only=True)

    def _observed(self, batch: Batch) -> tuple[Tensor, Draws]:
        draws = Draws.of(self.seed, batch.epoch_B, batch.index_B)
        return self.model.observation.observe(batch.x_BD, draws), draws

    def held_out_terms(self, o_BD: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return reconstruction and prior per image, and minus the ELBO where it is known."""
        with torch.no_grad():
            terms = self.model.terms(o_BD, draws, self.field)
        found = {"reconstruction": terms.reconstruction_B, "prior": terms.prior_B}
        return found | ({"neg_elbo": terms.total()} if self.total_name == "neg_elbo" else {})

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Return reconstruction and prior of the validation images, and a short annealing of the first ones."""
        if not len(batch.x_BD):
            return
        o_BD, draws = self._observed(batch)
        numbers = self.held_out_terms(o_BD, draws)
        if batch_idx == 0 and self.val_size:
            few_BD, few = o_BD[: self.val_size], Draws(draws.key_B[: self.val_size])
            numbers["ais"] = -self.model.annealed(self.val_ais, few_BD, few, self.rows).log_marginal_B
            if self.model.explicit:
                numbers["iwae"] = -self.model.iwae(few_BD, self.importance, few)
        if batch_idx == 0 and self.model.method != "elbo":
            numbers["score_identity"] = self.model.identity(o_BD[:WATCHED], IDENTITY, watched(draws), self.field)
        for name, value_B in numbers.items():
            self.log(f"val/{name}", value_B.mean(), batch_size=len(value_B), on_epoch=True)

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        super().on_test_start()
        self._annealed, self._panels, self._points = 0, {}, []

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect what is known of every image, and the likelihood of the first ones."""
        if not len(batch.x_BD):
            return
        o_BD, draws = self._observed(batch)
        for name, value_B in self.held_out_terms(o_BD, draws).items():
            self.report(name, value_B)
        if batch_idx == 0:
            self._panels = self.pictures(batch.x_BD[: self.shown], Draws(draws.key_B[: self.shown]))
        if batch_idx == 0 and self.model.method != "elbo":
            self.report("score_identity", self.model.identity(o_BD[:WATCHED], IDENTITY, watched(draws), self.field))
        if self.model.z == 2:
            self._points.append(self.model.encode(batch.x_BD, 1, draws)[0])
        left = len(o_BD) if self.test_size is None else max(0, self.test_size - self._annealed)
        few_BD, few = o_BD[:left], Draws(draws.key_B[:left])
        if not len(few_BD):
            return
        found = self.model.annealed(self.ais, few_BD, few, self.rows, self._told(len(few_BD)))
        self.report("ais", -found.log_marginal_B)
        self.report("ais_acceptance", found.acceptance_B)
        if self.model.explicit:
            self.report("iwae", -self.model.iwae(few_BD, self.importance, few))
        if checked := min(max(0, self.checked - self._annealed), len(few_BD)):
            double, same = copy.deepcopy(self.model).double(), Draws(few.key_B[:checked])
            exact = double.annealed(replace(self.ais, rough=False), few_BD[:checked].double(), same, self.rows)
            self.report(IN_DOUBLE, found.log_marginal_B[:checked] - exact.log_marginal_B)
        if self._annealed == 0 and self.simulated:
            index_B = torch.arange(self.simulated, device=self.device)
            low_B, high_B = self.model.simulated(self.ais, Draws.of(self.seed, -1, index_B), self.rows)
            self.report("simulated_forward", -low_B)
            self.report("simulated_backward", -high_B)
            self.report("simulated_gap", high_B - low_B)
        self._annealed += len(few_BD)

    def _told(self, count: int) -> Callable[[float], None] | None:
        """Tell of the share of a batch of so many images as a share of all that are annealed."""
        watch, before = self.watch, self._annealed
        total = min(self.source.count("test"), self.test_size or self.source.count("test"))
        return watch and (lambda share: watch((before + share * count) / total))

    def pictures(self, x_BD: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return images, reconstructed, and the first of them with each latent changed in turn."""
        model, x_BD = self.model, x_BD.to(self.device)
        return {
            "data": x_BD,
            "reconstructed": model.reconstruct(x_BD, draws),
            "samples": model.sample(len(x_BD), torch.Generator().manual_seed(self.seed)),
            ALONG: model.traversal(x_BD[0], steps=STEPS, draws=Draws(draws.key_B[:1])),
        }

    def panels(self) -> dict[str, Tensor]:
        """Return the pictures of the first test images."""
        return self._panels

    def columns(self) -> dict[str, int]:
        """Return a row per latent."""
        return {ALONG: STEPS}

    def points(self) -> dict[str, Tensor]:
        """Return a draw of q(z|x) of every test image, where there are two latents."""
        return {"z of test images": torch.cat(self._points)} if self._points else {}

    def conventions(self) -> dict[str, str]:
        """Return what every metric means."""
        law = self.model.observation.describe()
        compared = self._comparison.conventions(self.samples, SAMPLES) if self._comparison and self.samples else {}
        rows = f"{self.ais.temperatures} temperatures x {self.ais.chains} chains"
        images = "all test images" if self.test_size is None else f"the first {self.test_size} test images"
        return {
            "reconstruction": f"- log p(x|z), nats per image, one draw of z; {law}",
            "prior": "- log p(z), nats, mean over draws of q(z|x)",
            "neg_elbo": "- E log p(x|z) + KL, nats per image: an upper bound of - log p(x)",
            "score_identity": f"- E[sum_d s_d (z_d - E z_d)] / D, {IDENTITY} draws of q(z|x), {WATCHED} images: 1 "
            "for the true score; near 0 the entropy has no say and the encoder collapses to a point "
            "(kernel estimators are fitted to the draws themselves, so 1 does not show that they are right)",
            "iwae": f"- log p(x) by {self.importance} importance-weighted draws, nats, {images}",
            "ais": f"- log p(x) by annealed importance sampling, {rows}, nats per image, {images}; {law}",
            "ais_acceptance": "share of trajectories that were accepted",
            IN_DOUBLE: f"ais in float64 throughout less ais as it is, nats, first {self.checked} images",
            "simulated_forward": f"- log p(x) of {self.simulated} images drawn from the model, by ais: from above",
            "simulated_backward": "the same by annealing backward from the latents they were drawn from: from below",
            "simulated_gap": "their difference, nats: what ais can be wrong by on such images, on average",
            **meanings(compared),
        }

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return mean and standard deviation of draws of q(z|x) per image, shape (B, 2, D)."""
        _, draws = self._observed(batch)
        z_MBD = self.model.encode(batch.x_BD, self.encodings, draws)
        return torch.stack([z_MBD.mean(0), z_MBD.std(0)], 1)


def watched(draws: Draws) -> Draws:
    """Return the draws of the images that are watched."""
    return Draws(draws.key_B[:WATCHED]).fork("identity")


def _list(one_or_more: Any) -> list[Any]:
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]
