"""A density and outlier score for tables, with scikit-learn's interface."""

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from scorewise.backbones.made import MADE
from scorewise.heads.cosine import Cosine
from scorewise.noise import Draws, smoothing_noise
from scorewise.sampling.inverse_cdf import InverseCDF


class ScoreDensity(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """This is an autoregressive density of a table: one-dimensional conditionals as cosine series, by exact likelihood.

    The density is that of the data with Gaussian noise of `smoothing` standard deviations in every column, in the
    columns' own units. A constant column counts as one of standard deviation 1.

    Args:
        smoothing: standard deviation of the noise, in those of the columns.
        terms: cosines per conditional.
        hidden: sizes of the hidden layers of the MADE.
        steps: of training.
        batch_size: rows per step.
        lr: learning rate at the start of its cosine schedule.
        weight_decay: of AdamW.
        ordering: of the columns: raster, reverse, random, data_driven or a list.
        random_state: seed of weights, batches and noise.

    Attributes:
        model_: the fitted model, in standardised columns.
        mean_, scale_: of the columns.
        n_features_in_: columns.

    Raises:
        ValueError: settings or data that scikit-learn's validation refuses.
    """

    def __init__(
        self,
        smoothing: float = 0.1,
        terms: int = 32,
        hidden: tuple[int, ...] = (64, 64),
        steps: int = 1000,
        batch_size: int = 256,
        lr: float = 1e-2,
        weight_decay: float = 1e-4,
        ordering: str = "raster",
        random_state: int | None = None,
    ) -> None:
        self.smoothing, self.terms, self.hidden, self.steps = smoothing, terms, hidden, steps
        self.batch_size, self.lr, self.weight_decay = batch_size, lr, weight_decay
        self.ordering, self.random_state = ordering, random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """This fits the density to the rows of X (n, D)."""
        x_ND = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        for name in ("smoothing", "lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be positive")
        for name in ("terms", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        self.mean_ = x_ND.mean(0)
        spread = x_ND.std(0)
        self.scale_ = np.where(spread > 1e-12 * np.maximum(np.abs(self.mean_), 1), spread, 1.0)
        u_ND = torch.as_tensor((x_ND - self.mean_) / self.scale_, dtype=torch.float32)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model_ = self._model(u_ND)
        self._train(u_ND, seed)
        return self

    def _model(self, u_ND: Tensor) -> Cosine:
        """This is the untrained model of standardised columns."""
        ordering: Any = self.ordering
        if ordering == "data_driven":
            from scorewise.ordering import Ordering

            ordering = list(Ordering.data_driven(u_ND).sequence)
        margin = 6 * self.smoothing
        backbone = MADE((u_ND.shape[1],), self.terms, self.hidden, "silu", ordering=ordering, init="knots")
        model = Cosine(
            backbone,
            low=float(u_ND.min()) - margin,
            high=float(u_ND.max()) + margin,
            terms=self.terms,
            noise=self.smoothing,
        )
        model.sampler = InverseCDF()
        return model

    def _train(self, u_ND: Tensor, seed: int) -> None:
        model, count = self.model_.train(), len(u_ND)
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.lr, weight_decay=self.weight_decay, fused=True)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        generator = torch.Generator().manual_seed(seed)
        batch = min(self.batch_size, count)
        with torch.enable_grad():
            for step in range(self.steps):
                index_B = torch.randint(count, (batch,), generator=generator)
                noise_BD = smoothing_noise(Draws.of(seed, step, torch.arange(batch)), u_ND[index_B])
                loss = -model.log_prob(u_ND[index_B] + self.smoothing * noise_BD).mean() / u_ND.shape[1]
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()
                scheduler.step()
        model.double().eval()

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """This is log q(x) of every row in nats, in the columns' own units, shape (n,)."""
        check_is_fitted(self)
        x_ND = validate_data(self, X, dtype=np.float64, reset=False)
        u_ND = torch.as_tensor((x_ND - self.mean_) / self.scale_)
        with torch.no_grad():
            log_q = torch.cat([self.model_.log_prob(u_BD) for u_BD in u_ND.split(4096)])
        found: NDArray[np.float64] = log_q.numpy() - np.log(self.scale_).sum()
        return found

    def score(self, X: ArrayLike, y: object = None) -> float:
        """This is the mean of `score_samples`, as GaussianMixture has it."""
        return float(self.score_samples(X).mean())

    def outlier_score(self, X: ArrayLike) -> NDArray[np.float64]:
        """This is - log q(x), shape (n,): larger means odder."""
        return -self.score_samples(X)

    def sample(self, n_samples: int = 1, random_state: int | None = None) -> NDArray[np.float64]:
        """This is new rows (n, D), with the noise of the smoothing, in the columns' own units.

        Raises:
            ValueError: fewer than one sample.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples={n_samples} must be at least 1")
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        u_ND = self.model_.sample(n_samples, torch.Generator().manual_seed(seed))
        found: NDArray[np.float64] = u_ND.numpy() * self.scale_ + self.mean_
        return found
