"""The examples in the docstrings of public classes run, and print what they show."""

import doctest
import importlib
import inspect

import pytest

ROOMS = (
    *("objectives", "backbones", "heads", "sampling", "likelihood", "estimators"),
    *("latent", "data", "denoising", "outliers", "quality", "densities"),
)
WITHOUT = {
    "objectives": {"Loss", "Objective"},
    "heads": {"BlockModel", "CausalModel", "Model"},
    "sampling": {"Ancestral", "Blockwise"},
    "likelihood": {"Conditionals", "Likelihood", "Normaliser", "TailMass"},
    "latent": {"AnnealingEstimate", "Encoder", "Observation", "Terms", "VAE"},
    "data": {"FixedSource", "Labelled", "SampledSource", "Source"},
    "denoising": {"UnknownNoise"},
    "quality": {"ColourDistance", "Distance", "FeatureExtractor", "InceptionFeatures"},
}
"""Classes that are not called by a user: abstract ones, results, parts of others, and what needs a large file."""


def public(room: str) -> dict[str, type]:
    """Return the public classes of a room that an example is due for."""
    package = importlib.import_module(f"scorewise.{room}")
    found = {name: getattr(package, name) for name in package.__all__ if inspect.isclass(getattr(package, name))}
    return {name: cls for name, cls in found.items() if name not in WITHOUT.get(room, set())}


EXAMPLES = {f"{room}.{name}": cls for room in ROOMS for name, cls in public(room).items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_public_class_has_an_example_that_names_it(name: str) -> None:
    (found,) = doctest.DocTestFinder(recurse=False).find(EXAMPLES[name], name)
    assert any(EXAMPLES[name].__name__ in example.source for example in found.examples)
    assert any(example.want for example in found.examples), "an example shows what comes out"


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_prints_what_it_shows(name: str) -> None:
    (found,) = doctest.DocTestFinder(recurse=False).find(EXAMPLES[name], name, globs={})
    ran = doctest.DocTestRunner(verbose=False).run(found)
    assert ran.attempted
    assert not ran.failed
