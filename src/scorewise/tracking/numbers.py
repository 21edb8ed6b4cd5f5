"""Held-out numbers for people: which come first, and how they are written."""

import math
from collections.abc import Mapping

WITHOUT = "loss_without_constant"
"""What compares runs of DSM at different sigma."""
OF_AN_OBJECTIVE = ("loss", "loss_unscaled", WITHOUT, "score_loss", "surrogate_not_an_elbo")
"""Metrics whose scale is that of the objective: equal numbers of two objectives mean nothing."""
FIRST = ("nll", "bits_per_dim", "fisher_error", "fisher_error_clean", "csm", "ais", "iwae", "neg_elbo", "fid", "kid")
"""Headlines: what means the same for every objective."""
LAST = ("nll_quadrature_error", "nll_trace_error", "nll_tail", "nll_outside", "ais_acceptance")
"""Diagnostics: what others rest on."""


def rank(name: str) -> tuple[int, int]:
    """Return the place of a metric among others: headlines, other numbers, losses, diagnostics."""
    for place, names in ((0, FIRST), (2, OF_AN_OBJECTIVE), (3, LAST)):
        if name in names:
            return place, names.index(name)
    return 1, 0


def significant(value: float) -> str:
    """Return a number with four significant digits, and large ones whole."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if 1e4 <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:#.4g}".removesuffix(".")


def with_error(name: str, metrics: Mapping[str, float]) -> str:
    """Return a metric with its standard error, if it has one, to two digits of that: 52.36 +- 0.25."""
    error = metrics.get(f"{name}_se")
    if error is None or not math.isfinite(error):
        return significant(metrics[name])
    digits = ".0f" if 100 <= error < 1e7 else ".2g"
    return f"{significant(metrics[name])} \u00b1 {error:{digits}}"


def repeated(metrics: Mapping[str, float]) -> set[str]:
    """Return the losses that are another number before them under their own name."""
    found: set[str] = set()
    names = sorted(metrics, key=rank)
    for i, name in enumerate(names):
        before = (metrics[one] for one in names[:i] if rank(one)[0] in (0, 2))
        if name in OF_AN_OBJECTIVE and any(math.isclose(metrics[name], one, rel_tol=1e-5) for one in before):
            found.add(name)
    return found
