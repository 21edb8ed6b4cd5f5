"""Outlier scores of a trained model: larger means odder."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from scorewise.capabilities import (
    BlockScoreModel,
    ConditionalScoreModel,
    EnergyModel,
    NoisyBlockScoreModel,
    NoisyConditionalScoreModel,
    NoisyScoreModel,
    NormalisedDensity,
    ScoreModel,
)
from scorewise.capabilities.roles import CausalLadder, Levelled, NoisyBlockScores
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.noise import geometric_ladder
from scorewise.objectives.objective import score_field
from scorewise.outliers.profiles import ScoreProfiles
from scorewise.outliers.score_norms import profile
from scorewise.outliers.ties import counts_below

FIELD = (ConditionalScoreModel, BlockScoreModel, ScoreModel)
NEEDS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "minus_h": ("h", FIELD),
    "h": ("h", FIELD),
    "abs_h": ("h", FIELD),
    "score_norm": ("score_norm", FIELD),
    "nll": ("nll", (NormalisedDensity,)),
    "typicality": ("nll", (NormalisedDensity,)),
    "energy": ("energy", (EnergyModel,)),
    "multiscale_norms": ("profile", (NoisyScoreModel, NoisyConditionalScoreModel, NoisyBlockScoreModel)),
}
"""Every statistic, the quantity per example that it follows from, and what a model must have, one of these."""
MEANINGS: Mapping[str, str] = {
    "minus_h": "-h, h = sum_d s_d (one-sided: high where the scores point down)",
    "h": "h = sum_d s_d (one-sided)",
    "abs_h": "|h|",
    "score_norm": "|s|, the Euclidean norm of the scores",
    "nll": "- log q(x), nats (one-sided)",
    "typicality": "|nll - mean nll of held-out in-distribution examples|",
    "energy": "E(x) = - log q(x) + constant (one-sided)",
    "multiscale_norms": "distance of log |s(x, sigma)| at ten levels to those of the nearest training examples",
}
"""What every statistic is."""
LEVELS = 10
"""Of a profile: from the largest to the smallest of the model, with a constant ratio."""


def statistics_of(model: type) -> tuple[str, ...]:
    """Return the names of the statistics that models of a class have."""
    return tuple(name for name, (_, needs) in NEEDS.items() if any(issubclass(model, need) for need in needs))


def quantities_behind(statistics: Collection[str]) -> tuple[str, ...]:
    """Return the quantities per example that statistics follow from."""
    return tuple(dict.fromkeys(NEEDS[name][0] for name in statistics))


def quantities(model: object, x_BD: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
    """Return quantities per example, each (B,): h = sum_d s_d, score_norm = |s|, nll in nats, energy.

    And the profile of a model of scores at every noise level, log |s(x, sigma)| at ten of them, (B, L).

    The scores are the conditional ones where the model has them (AR-CSM, section 5.5), else the joint one; of the
    smallest noise level where it has several. nll is never refused here: where its normaliser is numerical, `outside`
    holds the largest mass of a conditional outside its range.
    """
    readings: tuple[tuple[set[str], Callable[[Any, Tensor], dict[str, Tensor]]], ...] = (
        ({"h", "score_norm"}, _of_scores),
        ({"energy"}, _of_energy),
        ({"nll"}, _of_likelihood),
        ({"profile"}, _of_levels),
    )
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for names, read in readings:
            if names & set(wanted):
                found |= read(model, x_BD)
    return {name: value_B.detach().double() for name, value_B in found.items() if name in (*wanted, "outside")}


def numerically_normalised(model: object) -> WithLikelihood | None:
    """Return a model if its likelihood is numerical, so that it can be refused and costs much; else None."""
    return model if isinstance(model, WithLikelihood) else None


def _of_scores(model: ConditionalScoreModel | BlockScoreModel | ScoreModel, x_BD: Tensor) -> dict[str, Tensor]:
    s_BD = score_field(model)(x_BD)
    return {"h": s_BD.sum(-1), "score_norm": s_BD.norm(dim=-1)}


def _of_energy(model: EnergyModel, x_BD: Tensor) -> dict[str, Tensor]:
    return {"energy": model.energy(x_BD)}


def _of_likelihood(model: NormalisedDensity, x_BD: Tensor) -> dict[str, Tensor]:
    numerical = numerically_normalised(model)
    if numerical is None:
        with torch.autocast(x_BD.device.type, enabled=False):
            return {"nll": -model.log_prob(x_BD)}
    likelihood = numerical.normaliser()
    log_q_B, outside_BD = likelihood.unchecked_log_prob(numerical, x_BD)
    return {"nll": -log_q_B, "outside": likelihood.worst(outside_BD)[0]}


def _of_levels(model: Levelled, x_BD: Tensor) -> dict[str, Tensor]:
    levels = geometric_ladder(model.levels[0], model.levels[-1], LEVELS)
    return {"profile": profile(scores_given(model, x_BD), x_BD, levels)}


def scores_given(model: object, x_BD: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the scores of q (B, D) at noise levels (B,), by a model of scores at every level.

    Joint ones see all of q; conditional ones, of dimensions or of blocks, have their contexts from x.

    Args:
        model: of scores at every noise level.
        x_BD: what contexts are made of.
    """
    if isinstance(model, NoisyScoreModel):
        return model.noisy_score
    if isinstance(model, NoisyBlockScoreModel):
        return _scores_of_blocks(cast(NoisyBlockScores, model), x_BD)
    ladder = cast(CausalLadder, model)
    c_BDF = ladder.context(x_BD)

    def score(q_BD: Tensor, sigma_B: Tensor) -> Tensor:
        s_BD: Tensor = ladder.noisy_conditional_score(q_BD, c_BDF, sigma_B[:, None].expand_as(q_BD))
        return s_BD

    return score


def _scores_of_blocks(model: NoisyBlockScores, x_BD: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    c_BKF = model.block_context(x_BD)

    def score(q_BD: Tensor, sigma_B: Tensor) -> Tensor:
        q_BKb = model.split(q_BD)
        return model.join(model.noisy_block_score(q_BKb, c_BKF, sigma_B[:, None].expand(q_BKb.shape[:-1])))

    return score


def outlier_scores(
    quantities: Mapping[str, Tensor], mean_nll: float | None, profiles: ScoreProfiles | None = None
) -> dict[str, Tensor]:
    """Return every statistic that follows from the quantities of examples, by name.

    Args:
        quantities: see `quantities`; not all need be there, nor of as many examples.
        mean_nll: of held-out in-distribution examples, nats; None: no typicality.
        profiles: of in-distribution examples; None: no multiscale norms.
    """
    found: dict[str, Tensor] = {}
    if "h" in quantities:
        found |= {"minus_h": -quantities["h"], "h": quantities["h"], "abs_h": quantities["h"].abs()}
    found |= {name: quantities[name] for name in ("score_norm", "nll") if name in quantities}
    if "nll" in quantities and mean_nll is not None:
        found["typicality"] = (quantities["nll"] - mean_nll).abs()
    if "profile" in quantities and profiles is not None:
        found["multiscale_norms"] = profiles.distance(quantities["profile"])
    return found | {name: quantities[name] for name in ("energy",) if name in quantities}


def percentiles(score_B: Tensor, reference_N: Tensor) -> Tensor:
    """Return 100 times the share of reference scores below each score, ties by half, shape (B,).

    Of those that are numbers; a score that is none has no place among them (NaN).
    """
    known_N = reference_N[~reference_N.isnan()]
    below_B, up_to_B = counts_below(score_B.masked_fill(score_B.isnan(), 0.0), known_N)
    return (50.0 * (below_B + up_to_B).double() / len(known_N)).masked_fill(score_B.isnan(), torch.nan)
