"""The forms in which a network's output becomes a score, in standard units (scale = 1)."""

import math

from torch import Tensor

FORMS = ("auto", "raw", "denoiser", "edm")


class ScoreForm:
    """The map s_u = a net + b u for data of standard deviation sd with noise sigma, sd^2 + sigma^2 = 1.

    * raw: the network is the score.
    * denoiser: the network is the denoised value, s = (net - u) / sigma^2.
    * edm: s = sd / sigma net - u, which starts as a standard normal and keeps the network's target of order
      one at every noise level (Karras et al. 2022, eq. 7, as a score).
    * auto: edm when there is noise, raw otherwise.

    Args:
        name: one of the above.
        std: standard deviation of the clean data.
        noise: standard deviation of the noise in the law that is modelled.

    Raises:
        ValueError: no such form, or a form that needs noise without noise.
    """

    def __init__(self, name: str, std: float, noise: float) -> None:
        if name not in FORMS:
            raise ValueError(f"form={name} is none of {', '.join(FORMS)}")
        self.name = name if name != "auto" else ("edm" if noise > 0 else "raw")
        if self.name != "raw" and noise <= 0:
            raise ValueError(f"form={name} divides by the noise level, which is 0: use form=raw or add noise")
        sigma = noise / math.hypot(std, noise)
        sd = std / math.hypot(std, noise)
        self.of_net, self.of_u = {
            "raw": lambda: (1.0, 0.0),
            "denoiser": lambda: (sigma**-2, -(sigma**-2)),
            "edm": lambda: (sd / sigma, -1.0),
        }[self.name]()

    def __call__(self, net: Tensor, u: Tensor) -> Tensor:
        """Return the score in standard units, shape of u."""
        return self.of_net * net + self.of_u * u
