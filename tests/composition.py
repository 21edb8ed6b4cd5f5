"""The tables of backbones, heads and samplers, and what follows for every composition of them.

A new option is one row here; a new objective is one row in `test_objectives.TABLE`. Capabilities are in the words of a
refusal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from test_objectives import TABLE, Row

from scorewise.errors import either

WHOLE = "features of the whole example"
CAUSAL = "causal features"
BLOCKED = "features of blocks"
NOISY = "noise-conditional features"
MAP = "an invertible map"

BACKBONES: Mapping[str, str] = {
    "convnet": WHOLE,
    "glow": MAP,
    "made": CAUSAL,
    "masked_mlp": CAUSAL,
    "masked_transformer": CAUSAL,
    "mlp": WHOLE,
    "noisy_mlp": NOISY,
    "patch_transformer": BLOCKED,
    "pixelcnnpp": CAUSAL,
    "transformer": CAUSAL,
    "unet": NOISY,
}
"""What every backbone has."""

OF_ANY_ORDER = ("masked_mlp", "masked_transformer")
"""Backbones that read any known part of an example."""
TRAIN_ANY_ORDER = ("aem", "csm", "csm_annealed", "csm_dsm", "csm_mle", "mle")
"""Objectives that train such a backbone."""

JOINT, SCORES, DENSITY = "a joint score", "conditional scores", "a normalised density"
CLOSED, QUANTILES, DRAWS = (
    "a density in closed form",
    "quantiles of its conditionals",
    "exact draws from its conditionals",
)
ENERGY, ENERGIES, PROPOSAL = "an energy", "conditional energies", "conditional energies and a proposal"
EVERY_LEVEL, JOINT_AT_EVERY_LEVEL = "conditional scores at every noise level", "a joint score at every noise level"
BLOCKS, BLOCKS_AT_EVERY_LEVEL = "scores of blocks", "scores of blocks at every noise level"
FROM_NORMAL = "an invertible map from normal numbers"


@dataclass(frozen=True)
class Head:
    """A head.

    Args:
        on: what it needs of a backbone, one of these.
        has: the capabilities of its models.
        ladder: it wants an objective with noise levels.
        clean: it models clean data only.
    """

    on: tuple[str, ...]
    has: tuple[str, ...]
    ladder: bool = False
    clean: bool = False


HEADS: Mapping[str, Head] = {
    "block_energy": Head((BLOCKED, CAUSAL), (BLOCKS,)),
    "block_score": Head((BLOCKED, CAUSAL), (BLOCKS,)),
    "by_column": Head((CAUSAL,), (DENSITY, CLOSED, QUANTILES, DRAWS), clean=True),
    "conditional_energy": Head((CAUSAL,), (SCORES, DENSITY, QUANTILES, ENERGIES, PROPOSAL)),
    "conditional_score": Head((CAUSAL,), (SCORES, DENSITY, QUANTILES)),
    "cosine": Head((CAUSAL,), (SCORES, DENSITY, CLOSED, QUANTILES, ENERGIES)),
    "discretised_mixture": Head((CAUSAL,), (DENSITY, QUANTILES, DRAWS), clean=True),
    "energy": Head((WHOLE,), (JOINT, ENERGY)),
    "flow": Head((MAP,), (JOINT, DENSITY, FROM_NORMAL)),
    "gaussian": Head((CAUSAL,), (SCORES, DENSITY, CLOSED, QUANTILES, DRAWS)),
    "mixture": Head((CAUSAL,), (SCORES, DENSITY, CLOSED, DRAWS)),
    "noisy_block_score": Head((BLOCKED, CAUSAL), (DENSITY, BLOCKS, BLOCKS_AT_EVERY_LEVEL), ladder=True),
    "noisy_conditional_score": Head((CAUSAL,), (SCORES, DENSITY, QUANTILES, EVERY_LEVEL), ladder=True),
    "noisy_score": Head((NOISY,), (JOINT, JOINT_AT_EVERY_LEVEL), ladder=True),
    "score": Head((WHOLE,), (JOINT,)),
}

SAMPLERS: Mapping[str, str] = {
    "annealed": EVERY_LEVEL,
    "annealed_langevin": JOINT_AT_EVERY_LEVEL,
    "annealed_langevin_1d": EVERY_LEVEL,
    "block_ancestral": BLOCKS_AT_EVERY_LEVEL,
    "block_flow": BLOCKS_AT_EVERY_LEVEL,
    "block_langevin": BLOCKS,
    "exact": DRAWS,
    "probability_flow": JOINT_AT_EVERY_LEVEL,
    "flow_ode": EVERY_LEVEL,
    "hmc": ENERGY,
    "inverse_cdf": QUANTILES,
    "langevin": JOINT,
    "langevin_1d": SCORES,
    "mala": ENERGY,
    "parallel": QUANTILES,
    "pushforward": FROM_NORMAL,
    "resampling": PROPOSAL,
    "reverse_diffusion_1d": EVERY_LEVEL,
}
"""What every sampler needs of a model."""


def heads_with(needs: Iterable[str]) -> list[str]:
    """Return the heads that have at least one of the capabilities."""
    return [name for name, head in HEADS.items() if {*needs} & {*head.has}]


def backbones_with(needs: Iterable[str]) -> list[str]:
    """Return the backbones that have one of the capabilities."""
    return [name for name, has in BACKBONES.items() if has in needs]


def taken(row: Row, backbone: str) -> str | None:
    """Return what head=auto takes on a backbone, None where nothing fits."""
    objective = next(name for name, one in TABLE.items() if one is row)
    return None if refusal_of_one_order(objective, backbone) else taken_head(row, backbone)


def refusal_of_one_order(objective: str, backbone: str) -> str | None:
    """Return the sentence that refuses to train a backbone of any order along one, None where that is not so."""
    if backbone not in OF_ANY_ORDER or objective in TRAIN_ANY_ORDER:
        return None
    return (
        f"objective={objective} would train backbone={backbone} along one order alone, and it is of any order. "
        f"Use objective={either(TRAIN_ANY_ORDER)}, or backbone=made."
    )


def taken_head(row: Row, backbone: str) -> str | None:
    """Return the first head of an objective that a backbone carries."""
    return next((head for head in row.heads if BACKBONES[backbone] in HEADS[head].on), None)


def refusal_of_auto(objective: str, backbone: str) -> str:
    """Return the sentence where nothing fits."""
    if taken_head(TABLE[objective], backbone) is not None and (sentence := refusal_of_one_order(objective, backbone)):
        return sentence
    needs = list(dict.fromkeys(on for head in TABLE[objective].heads for on in HEADS[head].on))
    return (
        f"objective={objective} needs a backbone with {' or '.join(needs)}; backbone={backbone} has none. "
        f"Use backbone={either(backbones_with(needs))}."
    )


def refusal(objective: str, backbone: str, head: str) -> str | None:
    """Return the sentence that refuses three choices, None where they compose."""
    row, on = TABLE[objective], HEADS[head].on
    if BACKBONES[backbone] not in on:
        return (
            f"head={head} needs a backbone with {' or '.join(on)}; backbone={backbone} has none. "
            f"Use backbone={either(backbones_with(on))}."
        )
    if not {*row.needs} & {*HEADS[head].has}:
        return (
            f"objective={objective} needs a model with {' or '.join(row.needs)}; head={head} has none. "
            f"Use head={either(heads_with(row.needs))}."
        )
    if head == "by_column" and objective != "mle":
        return (
            f"head=by_column has probabilities beside densities, and they have no scores, which objective={objective} "
            "fits. Use objective=mle."
        )
    if HEADS[head].ladder and not row.ladder:
        return (
            f"head={head} learns scores at a ladder of noise levels, and objective={objective} has none. "
            f"Use objective={either(name for name, row in TABLE.items() if row.ladder)}."
        )
    if sentence := refusal_of_one_order(objective, backbone):
        return sentence
    if BLOCKED in on and backbone in OF_ANY_ORDER:
        return (
            f"head={head} would read backbone={backbone} along one order alone, and it is of any order. "
            "Use backbone=patch_transformer or made."
        )
    return None


def refusal_of_sampler(sampler: str, head: str) -> str | None:
    """Return the sentence that refuses a sampler, None where it draws from the head's models."""
    need = SAMPLERS[sampler]
    if need in HEADS[head].has:
        return None
    return f"sampler={sampler} needs a model with {need}; head={head} has none. Use head={either(heads_with([need]))}."
