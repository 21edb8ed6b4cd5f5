"""Random numbers that depend on (seed, epoch, example index) and on nothing else.

A training run draws all its noise here, never from a global generator: resuming is exact, and the numbers
do not depend on how the examples are grouped into batches or spread over processes.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def _shift(z: Tensor, bits: int) -> Tensor:
    return (z >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    """Return z mixed by the finaliser of SplitMix64 (Steele, Lea and Flood 2014), on signed 64-bit integers."""
    if z.device.type == "cpu":  # numpy shifts unsigned integers in one operation where torch needs two
        return torch.from_numpy(_mixed(z.numpy().view(np.uint64)).view(np.int64))
    return _mixed_anywhere(z)


def _mixed_anywhere(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)).mul_(_MIX_1)
    z = z.bitwise_xor_(_shift(z, 27)).mul_(_MIX_2)
    return z.bitwise_xor_(_shift(z, 31))


def _mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    shifted = np.right_shift(z, np.uint64(30))
    mixed = np.bitwise_xor(z, shifted, out=np.empty_like(z))
    for factor, bits in ((_MIX_1, 27), (_MIX_2, 31)):
        np.multiply(mixed, np.uint64(factor % 2**64), out=mixed)
        np.right_shift(mixed, np.uint64(bits), out=shifted)
        np.bitwise_xor(mixed, shifted, out=mixed)
    return mixed


def normal_like(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return standard normal numbers of the shape, type and device of a tensor, from a generator of any device."""
    if isinstance(generator, OfRows):
        return generator.numbers().normal(*like.shape[1:], dtype=like.dtype).to(like.device)
    device = like.device if generator is None else generator.device
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=device).to(like.device)


def uniform_like(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return uniform numbers in (0, 1) of the shape, type and device of a tensor, from a generator of any device."""
    if isinstance(generator, OfRows):
        return generator.numbers().uniform(*like.shape[1:], dtype=like.dtype).to(like.device)
    device = like.device if generator is None else generator.device
    u = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=device)
    return u.clamp(min=torch.finfo(u.dtype).eps / 4).to(like.device)  # its quantile would be infinite


def signs_like(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return -1 and +1 by even chance, of the shape, type and device of a tensor, from a generator of any device."""
    if isinstance(generator, OfRows):
        return generator.numbers().signs(*like.shape[1:], dtype=like.dtype).to(like.device)
    device = like.device if generator is None else generator.device
    return (2 * torch.randint(2, like.shape, generator=generator, device=device) - 1).to(like)


class OfNoisyLaw(Protocol):
    """Knows the scale of its data, and how much noise its law has."""

    @property
    def noise(self) -> float:
        """The standard deviation of the noise, 0 for none."""

    @property
    def scale(self) -> Tensor:
        """The standard deviation of the data with their noise, one number."""


def step_size(step: float, model: OfNoisyLaw) -> float:
    """Return the step a = step * sigma^2 of Langevin dynamics on the law that is modelled.

    Where it has no noise, sigma^2 is a twentieth of the variance of the data: modes may be that much narrower.
    """
    return step * float(model.noise**2 if model.noise > 0 else model.scale**2 / 20)


def geometric_ladder(largest: float, smallest: float, levels: int) -> tuple[float, ...]:
    """Return noise levels from the largest down to the smallest, with a constant ratio (Song and Ermon 2019).

    Raises:
        ValueError: not 0 < smallest <= largest, or no level.
    """
    if not 0 < smallest <= largest or levels < 1:
        raise ValueError(
            f"a ladder of {levels} noise levels from {largest:g} down to {smallest:g} needs at least one level and "
            "0 < smallest <= largest"
        )
    if levels == 1:
        return (smallest,)
    return tuple(largest * (smallest / largest) ** (i / (levels - 1)) for i in range(levels))


def karras_ladder(largest: float, smallest: float, levels: int, rho: float = 7.0) -> tuple[float, ...]:
    """Return noise levels from the largest down to the smallest, even in sigma^(1/rho) (Karras et al. 2022, eq. 5).

    A larger rho puts more of them at small noise; a ladder with a constant ratio is its limit.

    Raises:
        ValueError: not 0 < smallest <= largest, no level, or a rho that is not positive.
    """
    if not 0 < smallest <= largest or levels < 1 or not rho > 0:
        raise ValueError(
            f"a ladder of {levels} noise levels from {largest:g} down to {smallest:g} with rho={rho:g} needs at "
            "least one level, 0 < smallest <= largest and a positive rho"
        )
    if levels == 1:
        return (smallest,)
    high, low = largest ** (1 / rho), smallest ** (1 / rho)
    between = tuple((high + i / (levels - 1) * (low - high)) ** rho for i in range(1, levels - 1))
    return (largest, *between, smallest)


RANDOM = (
    *(torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli, torch.multinomial),
    *(Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.exponential_, Tensor.random_),
    *(init.uniform_, init.normal_, init.trunc_normal_, init.orthogonal_, init.sparse_),
    *(init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_),
)
"""What draws numbers from the generator of the process where it is given none."""


FILLED = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)
"""What makes tensors of the type of the process where it is given none."""


class OwnNumbers(TorchFunctionMode):
    """A context in which random operations of this thread take their numbers from a generator of its own.

    The numbers are those that the generator of the process would give after `torch.manual_seed`, which stays as it is:
    other threads neither see this one nor change it.

    Args:
        seed: of the generator.
        dtype: of new tensors that are told none; None: that of the process.
    """

    def __init__(self, seed: int, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.generator, self.dtype = torch.Generator().manual_seed(seed), dtype

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in RANDOM and given.get("generator") is None:
            given = {**given, "generator": self.generator}
        if func in FILLED and self.dtype is not None and given.get("dtype") is None:
            given = {**given, "dtype": self.dtype}
        return func(*args, **given)


@dataclass(frozen=True)
class Draws:
    """The random numbers that belong to one batch.

    Every method is a pure function: the same draws asked twice give the same numbers. Use `fork` to get
    numbers for another purpose.

    Args:
        key_B: one 64-bit key per example.
    """

    key_B: Tensor

    @classmethod
    def of(cls, seed: int, epoch: int | Tensor, index_B: Tensor) -> "Draws":
        """Return the draws of the examples `index_B` in one epoch (-1: the same numbers in every epoch)."""
        key_B = _mix(torch.full_like(index_B, seed, dtype=torch.int64) * _GOLDEN + 1)
        key_B = _mix(key_B + (torch.zeros_like(key_B) + epoch + 2) * _MIX_1)
        return cls(_mix(key_B + index_B.to(torch.int64) * _GOLDEN))

    @classmethod
    def of_content(cls, x_BD: Tensor) -> "Draws":
        """Return draws that follow from what examples are: the same for one example in whatever batch."""
        bits_BD = (x_BD.detach().to(torch.float64) + 0.0).cpu().view(torch.int64)  # one zero, not two
        place_D = torch.arange(1, bits_BD.shape[1] + 1) * _GOLDEN
        return cls(_mix(_mix(bits_BD ^ place_D).sum(-1)).to(x_BD.device))

    @classmethod
    def fresh(cls, n: int, generator: torch.Generator | None = None) -> "Draws":
        """Return new draws for n examples, for use without a data set."""
        return cls(torch.randint(-(2**62), 2**62, (n,), generator=generator))

    def fork(self, purpose: str) -> "Draws":
        """Return independent draws of the same examples for another purpose."""
        return Draws(_mix(self.key_B ^ (zlib.crc32(purpose.encode()) * _GOLDEN % 2**62)))

    def __len__(self) -> int:
        return self.key_B.shape[0]

    def uniform(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return uniform numbers strictly between 0 and 1, shape (B, *shape)."""
        dtype = dtype or torch.get_default_dtype()
        u = _shift(self._bits(math.prod(shape)), 12).to(torch.float64).add_(0.5).mul_(2.0**-52)
        least, most = torch.finfo(dtype).tiny, 1 - torch.finfo(dtype).eps / 2
        return u.to(dtype).clamp(least, most).reshape(len(self), *shape)

    def signs(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return -1 and +1 by even chance, shape (B, *shape): +1 where `uniform` is below .5."""
        bits = self._bits(math.prod(shape))
        return (bits >= 0).to(dtype or torch.get_default_dtype()).mul_(2).sub_(1).reshape(len(self), *shape)

    def _bits(self, count: int) -> Tensor:
        """Return random 64-bit integers, shape (B, count)."""
        counter = torch.arange(1, count + 1, device=self.key_B.device) * _GOLDEN
        return _mix(self.key_B[:, None] + counter)

    def normal(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return standard normal numbers, shape (B, *shape) (Box and Muller 1958)."""
        dtype = dtype or torch.get_default_dtype()
        count = math.prod(shape)
        half = (count + 1) // 2
        u = self.uniform(2 * half, dtype=torch.float64).to(torch.promote_types(dtype, torch.float32))
        radius, angle = u[:, :half].log().mul_(-2).sqrt_(), 2 * math.pi * u[:, half:]
        z = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
        return z[:, :count].reshape(len(self), *shape).to(dtype)

    def choice(self, weights: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return one index per example, drawn with the given weights (K,); shape (B,)."""
        edges = torch.cumsum(weights.to(dtype) / weights.sum(), 0)
        return torch.searchsorted(edges, self.uniform(dtype=dtype)).clamp(max=len(weights) - 1)


class OfRows(torch.Generator):
    """Random numbers by row where a generator is asked for: those of a row do not depend on the rows beside it.

    That is what `normal_like`, `uniform_like` and `signs_like` take from it. Whoever hands it to torch itself has
    numbers that follow from all rows together.

    Args:
        draws: of the rows, as many as the first axis of what is drawn.
    """

    def __new__(cls, draws: Draws) -> "OfRows":
        """Return a generator of the CPU."""
        return super().__new__(cls)

    def __init__(self, draws: Draws) -> None:
        self.draws, self.asked = draws, 0
        self.manual_seed(int(_mix(draws.key_B).sum()) % 2**63)

    def numbers(self) -> Draws:
        """Return draws of the rows for the next numbers."""
        self.asked += 1
        return self.draws.fork(f"{self.asked}")


def of_some(generator: torch.Generator | None, rows_R: Tensor, purpose: str, times: int = 1) -> torch.Generator | None:
    """Return a generator for some rows of a batch, whichever others are among them.

    Args:
        generator: of the whole batch; any but `OfRows` is returned as it is.
        rows_R: their places in the batch.
        purpose: what is drawn: for another one they have other numbers.
        times: how often these rows stand one below the other.
    """
    if not isinstance(generator, OfRows):
        return generator
    key_R = generator.draws.fork(purpose).key_B[rows_R.to(generator.draws.key_B.device)]
    times_M1 = torch.arange(times, device=key_R.device).unsqueeze(1) * _GOLDEN
    return OfRows(Draws(_mix(key_R + times_M1).flatten()))


def smoothing_noise(draws: Draws, like_BD: Tensor) -> Tensor:
    """Return the standard normal numbers that smooth these examples, shape (B, D): x = clean + smoothing * them."""
    return draws.fork("smoothing").normal(like_BD.shape[1], dtype=like_BD.dtype)
