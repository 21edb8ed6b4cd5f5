"""Variational autoencoders, their entropy's gradient by a score network, in closed form, or from particles."""

import copy
from collections.abc import Callable
from typing import Annotated, Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from scorewise.capabilities import Watched
from scorewise.data.datamodule import Batch
from scorewise.latent import SCORE_OBJECTIVES, VAE, field_of, mismatch, reads_conditionals
from scorewise.noise import Draws
from scorewise.objectives.objective import Objective
from scorewise.quality import eight_bits, meanings, metric_values
from scorewise.ranges import AtLeast, Count, PositiveNumber, within_ranges
from scorewise.tasks.bundle import Bundle
from scorewise.tasks.latent_codes import ALONG, STEPS, LatentCodes
from scorewise.tasks.optimisation import Optimisation
from scorewise.tasks.report import Report
from scorewise.tasks.task import NotFinite, Task
from scorewise.tasks.vae_likelihood import SIMULATED, WATCHED, VAELikelihood
from scorewise.tasks.vae_settings import AnnealingSettings, LikelihoodSettings, SampleSettings, ValidationSettings

SAMPLES = "samples (mean images of latents from the prior, in 8 bits)"
ANNEALING, LIKELIHOOD = AnnealingSettings(), LikelihoodSettings()
VALIDATION, NO_SAMPLES = ValidationSettings(), SampleSettings()
VAEBundle = Bundle[VAE, Objective | None]
"""What the task is given: the objective is of the score network; None where there is none."""


@final
class ImplicitVAE(Task):
    """Training a VAE and estimating its likelihood.

    In every step one draw z of q(z|x) moves the score network by its objective, and another one encoder and decoder,
    with - log p(x|z), - log p(z) and the surrogate of minus the entropy, whose score is held fixed. Only the ELBO of
    an explicit encoder is logged as one: the value of the surrogate is no entropy. Weights are those of the last step.

    Test metrics, with standard errors: reconstruction and prior of every test image, and of the first test_size ones
    ais, minus the estimate of log p(x) by annealed importance sampling; for explicit encoders neg_elbo and iwae.

    Args:
        bundle: model, objective, optimisation, data and seed; smoothing must be 0, and monitor None, since no held-out
            number compares implicit with explicit encoders while training.
        annealing: how the likelihood is estimated.
        likelihood: of how many images, and what else of them.
        validation: a short annealing in every validation.
        compared: samples that are compared with all test images.
        score_lr: learning rate of the score network's own optimiser; None: that of the other.
        encodings: draws of q(z|x) per image whose mean and standard deviation are predicted.
        shown: images in the picture.

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
    busy = "annealing"

    @within_ranges
    def __init__(
        self,
        bundle: VAEBundle,
        *,
        annealing: AnnealingSettings = ANNEALING,
        likelihood: LikelihoodSettings = LIKELIHOOD,
        validation: ValidationSettings = VALIDATION,
        compared: SampleSettings = NO_SAMPLES,
        score_lr: PositiveNumber | None = None,
        encodings: Annotated[int, AtLeast(2)] = 64,
        shown: Count = 64,
    ) -> None:
        super().__init__(bundle)
        _refuse(bundle, score_lr)
        vae = bundle.model
        self.model: VAE = vae
        self.objective, self.score_lr, self.shown = bundle.objective, score_lr, shown
        field = field_of(bundle.objective)
        self.likelihood = VAELikelihood(vae, field, annealing, likelihood, validation, self.seed)
        self.codes = LatentCodes(vae, self.name, encodings, shown, self.seed)
        # Not a module of this one: it is no part of what is trained and saved.
        self._compared, self._images = compared, compared.images_of(self.source, self.seed)
        self.automatic_optimization = False
        self._tell: Callable[[float], None] | None = None
        self._panels, self._points = dict[str, Tensor](), list[Tensor]()

    @property
    def name(self) -> str:
        """What this test is called, for files."""
        return "implicit_vae"

    @property
    def prediction(self) -> LatentCodes:
        """The latents of a user's images."""
        return self.codes

    @property
    def watched(self) -> Watched:
        """The annealing of the test."""
        return self

    def watch_with(self, tell: Callable[[float], None] | None) -> None:
        """Tell somebody the share of the test images that is annealed; None: nobody."""
        self._tell = tell

    @property
    def total_name(self) -> str:
        """What the sum that training minimises is called."""
        return "neg_elbo" if self.likelihood.bounded else "surrogate_not_an_elbo"

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
        """Take a step of the score network, where there is one, and one of encoder and decoder.

        Raises:
            NotFinite: a loss or a gradient is not finite.
        """
        model, (o_BD, draws) = self.model, self.likelihood.observed(batch)
        optimizers = _list(self.optimizers(use_pl_optimizer=True))
        if model.score is not None:
            self.score_step(o_BD, draws.fork("score"), optimizers[1].optimizer)
        terms = model.terms(o_BD, draws.fork("encoder"), self.likelihood.field)
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

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log reconstruction and prior of the validation images, and a short annealing of the first ones."""
        if not len(batch.x_BD):
            return
        o_BD, draws = self.likelihood.observed(batch)
        found = self.likelihood.terms(o_BD, draws)
        if batch_idx == 0:
            found |= self.likelihood.identity(o_BD, draws)
        if few := int((batch.index_B < self.likelihood.validation.val_size).sum()):
            found |= self.likelihood.validated(o_BD[:few], Draws(draws.key_B[:few]))
        for name, value_B in found.items():
            self.notice(name, value_B, batch.index_B)
            self.log(f"val/{name}", value_B.mean(), batch_size=len(value_B), on_epoch=True)

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        super().on_test_start()
        self._panels, self._points = {}, []

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect what is known of every image, and the likelihood of the first ones."""
        if not len(batch.x_BD):
            return
        o_BD, draws = self.likelihood.observed(batch)
        found = self.likelihood.terms(o_BD, draws)
        if batch_idx == 0:
            self._panels = self.codes.panels(batch.x_BD[: self.shown], Draws(draws.key_B[: self.shown]))
        if few := int((batch.index_B < WATCHED).sum()):
            found |= self.likelihood.identity(o_BD[:few], Draws(draws.key_B[:few]))
        if self.model.z == 2:
            self._points.append(self.model.encode(batch.x_BD, 1, draws)[0])
        total = self.likelihood.test.wanted(self.source.count("test"))
        if few := int((batch.index_B < total).sum()):
            told = self._told(few, int(batch.index_B[0]), total)
            found |= self.likelihood.estimated(o_BD[:few], Draws(draws.key_B[:few]), batch.index_B[:few], told)
        for name, value_B in found.items():
            self.collect(name, value_B, None if name in SIMULATED else batch.index_B)

    def _told(self, count: int, before: int, total: int) -> Callable[[float], None] | None:
        """Tell of the share of a batch of so many images as a share of all that are annealed."""
        tell = self._tell
        return tell and (lambda share: tell((before + share * count) / total))

    def on_test_epoch_end(self) -> None:
        """Log means with their standard errors and, if they are asked for, FID and KID of samples."""
        super().on_test_epoch_end()
        if self._images is None or self._compared.samples is None:
            return
        self._images.extractor.to(self.device)
        generator = torch.Generator().manual_seed(self.seed)
        samples = eight_bits(self.model.sample(self._compared.samples, generator).flatten(1), self.source.shape)
        for name, value in metric_values(self._images.bounded(samples, SAMPLES)).items():
            self.log(f"test/{name}", value, rank_zero_only=True)

    def found(self) -> Report:
        """Return the pictures of the first test images, and a draw of q(z|x) of every one of two latents."""
        points = {"z of test images": torch.cat(self._points)} if self._points else {}
        return Report(panels=self._panels, per_row={ALONG: STEPS}, points=points)

    def conventions(self) -> dict[str, str]:
        """Return what every metric means."""
        samples = self._compared.samples
        distances = self._images.conventions(samples, SAMPLES) if self._images and samples else {}
        return self.likelihood.conventions() | meanings(distances)


def _refuse(bundle: VAEBundle, score_lr: float | None) -> None:
    """Refuse what does not train a VAE.

    Raises:
        ValueError: what does not fit.
    """
    vae, objective = bundle.model, bundle.objective
    if bundle.monitor is not None:
        raise ValueError(f"task.monitor={bundle.monitor} cannot choose among weights, the last are kept: use null")
    if bundle.smoothing:
        raise ValueError(
            f"a VAE is of images without noise, and data.smoothing={bundle.smoothing}: use data.smoothing=0"
        )
    if (objective is None) != (vae.score is None):
        raise ValueError("an objective fits the score network of latent.method=score, and nothing else")
    if objective is not None and not isinstance(objective, SCORE_OBJECTIVES):
        raise ValueError(f"{type(objective).__name__} does not fit the score of a law as it is")
    conditional = vae.score is not None and reads_conditionals(type(vae.score.model), field_of(objective))
    if sentence := mismatch(vae.method, vae.encoder_name, conditional):
        raise ValueError(sentence)
    if score_lr is not None and not score_lr > 0:
        raise ValueError(f"task.score_lr={score_lr} must be positive, or null for that of the encoder")


def _list(one_or_more: Any) -> list[Any]:
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]
