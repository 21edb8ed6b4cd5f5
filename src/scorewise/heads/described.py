"""What a model says of itself: in one look, and when it is asked for something that it does not have."""

from abc import ABC
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from scorewise.capabilities import DiscreteDensity
from scorewise.errors import names_of
from scorewise.ranges import has_shape

CALLS: Mapping[str, str] = {
    "sample": "samples",
    "complete": "draws given the first dimensions",
    "fill": "rows with their missing cells drawn",
    "cells": "what it says of every cell of a row given others",
    "log_prob": "a normalised density",
    "score": "the joint score",
    "noisy_score": "the joint score at every noise level",
    "conditional_score": "the scores of its one-dimensional conditionals, conditional_score(x, context(x))",
    "noisy_conditional_score": "the same at every noise level",
    "context": "what its conditionals are given",
    "energy": "an energy",
    "conditional_energy": "energies of its conditionals",
    "denoise": "examples without their noise",
    "outlier_score": "how odd examples are",
    "encode": "latents",
    "decode": "images of latents",
    "reconstruct": "images encoded and decoded",
}
"""What users call on models, and what it is."""


class Described(nn.Module, ABC):
    """A model that tells people what it is.

    Attributes:
        recipe: how it is built, plain values only (see `scorewise.store.assemble`).
        facts: what else is known of it, a few words by what they are about.
        shape: of one example.
        noise: standard deviation of the Gaussian noise in the law that is modelled (0 for none).
    """

    shape: tuple[int, ...]
    noise: float

    def __init__(self) -> None:
        super().__init__()
        self.recipe: Mapping[str, Any] = {}
        self.facts: Mapping[str, str] = {}

    @classmethod
    def calls(cls) -> tuple[str, ...]:
        """Return what users can call on models of this class, of `CALLS`."""
        return tuple(name for name in CALLS if callable(getattr(cls, name, None)))

    def headline(self) -> str:
        """Return the classes that it is made of."""
        return type(self).__name__

    def __repr__(self) -> str:
        """Return what the model is, of which data and how good, and what can be called; one line each."""
        count = sum(parameter.numel() for parameter in self.parameters())
        lines = {"examples": self._examples()}
        if self.noise:
            lines["noise"] = f"of standard deviation {self.noise:g} in the law that is modelled"
        lines |= {**self.facts, "parameters": f"{count:,}", "calls": ", ".join(self.calls())}
        return "\n".join([self.headline(), *(f"  {about}: {text}" for about, text in lines.items())])

    def _examples(self) -> str:
        found, numbers = self.recipe.get("columns"), f"shape {list(self.shape)}"
        if not has_shape(found, {"numeric": list}):
            return numbers
        assert found is not None
        indicators = [
            f"{one['column']}={value}" for one in found.get("categories", ()) for value in one.get("values", ())
        ]
        mixed = found.get("mixed")
        coded = mixed["codes"] if has_shape(mixed, {"codes": list}) else ()
        codes = [f"{one['column']} as codes" for one in coded]
        return f"{numbers}, standardised columns ({names_of([*map(str, found['numeric']), *codes, *indicators])})"

    def __getattr__(self, name: str) -> Tensor | nn.Module:
        """Return a parameter, a buffer or a module.

        Raises:
            AttributeError: there is none; of what other models have, the message says what this one has instead.
        """
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name not in CALLS:
                raise
            instead = f"has no {name}, which is {CALLS[name]}: it has {', '.join(self.calls())}"
            joint = "; scorewise.denoising.joint_score(model, x) differentiates its log_prob"
            differentiable = "log_prob" in self.calls() and not isinstance(self, DiscreteDensity)
            hint = joint if name == "score" and differentiable else ""
            raise AttributeError(f"{type(self).__name__} {instead}{hint}.") from None
