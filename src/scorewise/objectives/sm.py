"""Exact score matching (Hyvarinen 2005)."""

from typing import Annotated, Any

from torch import Tensor

from scorewise.capabilities import TracedScoreModel
from scorewise.capabilities.roles import Scaled
from scorewise.gradients import TRACES, exact_trace
from scorewise.noise import Draws
from scorewise.objectives.objective import FieldModel, FieldObjective, score_gain
from scorewise.ranges import AtLeast, OneOf, within_ranges


class SM(FieldObjective[FieldModel]):
    """Implicit score matching, J of section 2.2 of Autoregressive Score Matching: |s|^2 / 2 + tr(ds/dx).

    On conditional scores the Jacobian is triangular and the value is J_CSM. On an energy it reads
    |grad E|^2 / 2 - tr(Hess E) (the slides print a square and a plus there).

    Args:
        trace: passes (D backward passes, but for models that know a faster way: an energy on an MLP takes one forward
            pass with its Laplacian), stacked (D tangents at once) or forward (`chunk` tangents at a time).
        chunk: tangents per pass of trace=forward.
        field: joint, conditional or auto.

    Raises:
        ValueError: no such trace or field, or a chunk below 1.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Score
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import SM
        >>> model = Score(MLP((2,), (16,)), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = SM()(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    derivatives = 1
    LARGE = 100

    @within_ranges
    def __init__(
        self,
        trace: Annotated[str, OneOf(TRACES)] = "passes",
        chunk: Annotated[int, AtLeast(1, "it counts tangents per pass")] = 16,
        field: str = "auto",
    ) -> None:
        super().__init__(field)
        self.trace, self.chunk = trace, chunk

    @classmethod
    def several_passes_with(cls, trace: str = "passes", **settings: Any) -> bool:
        """Return whether every tangent has a pass of its own."""
        return trace != "passes"

    def per_example(self, model: FieldModel, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return J of every example, shape (B,)."""
        if self.trace == "passes" and isinstance(model, TracedScoreModel):
            s_BD, trace_B = model.traced_score(x_BD)
        else:
            s_BD, trace_B = exact_trace(self.field_of(model), x_BD, self.trace, self.chunk)
        return 0.5 * s_BD.square().sum(-1) + trace_B

    def gain(self, model: Scaled) -> float:
        """Return sigma^2 of the smoothed law, or the variance of the data where that has no noise."""
        return score_gain(model)

    def warning(self, dims: int) -> str | None:
        """Return the expected cost where D is large."""
        if dims < self.LARGE:
            return None
        cost = {
            "passes": f"{dims} backward passes",
            "stacked": f"a pass over {dims} stacked tangents (and {dims} times the activations in memory)",
            "forward": f"{-(-dims // self.chunk)} forward-mode passes of {self.chunk} tangents",
        }[self.trace]
        return (
            f"objective=sm takes {cost} per step on {dims} dimensions, where objective=ssm_vr takes one and "
            "objective=csm one through the head."
        )
