"""Likelihoods of a VAE by annealed importance sampling, and what they rest on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from scorewise.data.source import Source
from scorewise.figures import vaes
from scorewise.figures.bench import Bench
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.spread import Paired
from scorewise.latent import AIS

Once = Callable[[str, Mapping[str, Any], Callable[[Any], Any]], Any]
"""From a name, settings and what measures a model to what was measured, once."""
DIGITS = 4
"""Of nats in a list by image, so that the file that keeps them stays small."""


@dataclass(frozen=True)
class Likelihoods:
    """What is measured of the likelihoods of every model, on the same images.

    Args:
        temperatures, chains: of AIS.
        check_images, check_temperatures, check_chains: of a longer AIS of fewer images, which shows the shift.
        simulated: images drawn from every model and annealed both ways.
        checked: images annealed in float64 too.
        importance: draws of the importance-weighted bound.
        rows: chains annealed at once.
        rough: whether annealing follows gradients in bfloat16, see `AIS`; its checks in float64 do not.
    """

    temperatures: int
    chains: int
    check_images: int
    check_temperatures: int
    check_chains: int
    simulated: int
    checked: int
    importance: int
    rows: int
    rough: bool = False

    @property
    def ais(self) -> AIS:
        """The annealing that likelihoods are had by."""
        return AIS(self.temperatures, self.chains, rough=self.rough)

    @property
    def longer(self) -> AIS:
        """The annealing that checks it."""
        return replace(self.ais, temperatures=self.check_temperatures, chains=self.check_chains)

    def values(
        self, bench: Bench, name: str, run: FinishedRun, images: int, device: torch.device
    ) -> dict[str, list[float]]:
        """Return the likelihoods of the first test images and their bounds, each measured once."""
        once, source = self._measuring(bench, name, run, device), run.source
        bounded = {"count": images, "importance": self.importance}
        return {
            "nll": self._annealed(once, source, self.ais, images),
            **once("bounds", bounded, lambda vae: vaes.bounds(vae, source, images, self.importance)),
        }

    def measured(self, bench: Bench, name: str, run: FinishedRun, images: int, device: torch.device) -> dict[str, Any]:
        """Return `values` and what they rest on, each measured once."""
        once, source, ais, rows = self._measuring(bench, name, run, device), run.source, self.ais, self.rows
        drawn = {"ais": vars(ais), "count": self.simulated}
        wide = {"ais": vars(ais), "count": self.checked, "of": "variances over latents"}
        fitted = {"count": self.check_images, "particles": once("particles", {}, lambda vae: vae.particles)}
        return {
            **self.values(bench, name, run, images, device),
            "longer": self._annealed(once, source, self.longer, self.check_images),
            "double": self._annealed(once, source, ais, self.checked, double=True),
            "simulated": once("simulated", drawn, lambda vae: vaes.simulated(vae, ais, self.simulated, rows)),
            "widths": once("widths", wide, lambda vae: vaes.widths(vae, source, ais, self.checked, rows)),
            "identity": once("identity", fitted, lambda vae: vaes.stein_identity(vae, source, self.check_images)),
            "particles": fitted["particles"],
        }

    def _measuring(self, bench: Bench, name: str, run: FinishedRun, device: torch.device) -> Once:
        def once(what: str, settings: Mapping[str, Any], measure: Callable[[Any], Any]) -> Any:
            return bench.once_of(
                run, f"{name}-{run.seed} {what}", settings, lambda: _short(measure(run.model.to(device)))
            )

        return once

    def _annealed(self, once: Once, source: Source, by: AIS, count: int, double: bool = False) -> Any:
        settings = {"ais": vars(by), "count": count, "double": double}
        exact = replace(by, rough=False) if double else by
        what = f"{by.temperatures}x{by.chains}{' double' if double else ''}"
        return once(what, settings, lambda vae: vaes.nll(vae, source, exact, count, self.rows, double))

    def checks(self, name: str, found: Mapping[str, Any]) -> list[Any]:
        """Return a row of what the likelihoods of a model rest on."""
        return [
            name,
            str(Paired.of(found["longer"], found["nll"][: self.check_images])),
            str(gap(found)),
            str(Paired.of(found["double"], found["nll"][: self.checked])),
            *(f"{found['widths'][which]:.3g}" for which in ("encoder", "posterior")),
            "-" if found["identity"] is None else round(found["identity"], 3),
        ]


def _short(found: Any) -> Any:
    """Return what was measured with its lists rounded."""
    if isinstance(found, Mapping):
        return {name: _short(each) for name, each in found.items()}
    return [round(each, DIGITS) for each in found] if isinstance(found, list) else found


def gap(found: Mapping[str, Any]) -> Paired:
    """Return how far forward AIS of simulated images is above backward AIS."""
    return Paired.of(found["simulated"]["forward"], found["simulated"]["backward"])


def width(found: Mapping[str, Any]) -> float:
    """Return the width of the encoder relative to that of the posterior."""
    return float(found["widths"]["encoder"] / found["widths"]["posterior"])
