"""What the numbers of a run mean."""

from collections.abc import Mapping

from scorewise.capabilities import DiscreteDensity, NoisyScoreModel
from scorewise.data.source import Source
from scorewise.data.tabular.source import Tabular
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.heads.trained import Trained
from scorewise.tasks.measures import modelled_dims


def conventions(source: Source, smoothing: float, objective: str, model: Trained) -> dict[str, str]:
    """Return what each metric means, for people and for summary.json."""
    likelihood = model.likelihood if isinstance(model, WithLikelihood) else None
    how = "" if likelihood is None else f", {likelihood.describe(model)}"
    law = f"data + N(0, {smoothing:g}^2)" if smoothing else "the data as it is"
    of_density = law
    if isinstance(model, NoisyScoreModel):
        of_density, how = f"data + N(0, {model.noise:g}^2)", ", by the probability flow of the joint score"
    if isinstance(model, DiscreteDensity):
        how = ", as a density that is constant around every level"
        bits = f"-log2 of the probability of {law}, on levels of {source.unit}"
    else:
        bits = f"of {of_density} in {source.unit}, with the Jacobian of the scaling"
    scale, dims = "the model's scale", modelled_dims(model, source)
    if isinstance(source, Tabular) and source.table.mixed is not None:
        scale = (
            "the columns' own units: densities of numbers, probabilities of categories, whole numbers and spikes; "
            "missing cells add nothing"
        )
        bits = f"nll in bits, by the {dims} columns" + (" that are not only read" if dims < source.dims else "")
    return {
        "loss": f"objective={objective}, sum over {dims} dimensions, on {law}",
        "loss_without_constant": "the loss less |z|^2 / (2 sigma^2), on average D / (2 sigma^2): comparable over sigma",
        "csm": f"eq. 5 of the AR-CSM paper, on {law}: comparable between models of one order",
        "block_csm": f"the same of blocks, with exact traces, on {law}: comparable between models of the same blocks "
        "in the same order",
        "nll": f"nats, of {of_density} in {scale}{how}",
        "nll_quadrature_error": "|nll - nll with twice the nodes or steps|, nats per example, first 32 examples",
        "nll_trace_error": "standard error of nll by the random projections of a trace, nats per example, as many",
        "nll_tail": "largest mass of a conditional of an example outside the range of the quadrature",
        "nll_outside": "entries of an example outside that range",
        "bits_per_dim": bits,
        "coverage_90": "share of numbers inside the central 90 % of their law given the rest, or what is only read",
        "fisher_error": f"1/2 E|s - s*|^2 on the law of {law}, of the scores that the model has",
        "fisher_error_clean": "1/2 E|s - s*|^2 against the clean law, on clean data",
    }


def meant(texts: Mapping[str, str], metrics: Mapping[str, float]) -> dict[str, str]:
    """Return the texts about metrics that there are, and about the parts of their names."""
    told = {part for name in metrics for part in (name, *name.split("/"))}
    return {name: text for name, text in texts.items() if name in told}
