"""Dropout whose masks follow from the batch."""

import torch
from torch import Generator, Tensor


def mask_generator(u_BD: Tensor) -> Generator:
    """Return random numbers that follow from a batch (B, D) and from nothing else.

    The batch is a function of (seed, epoch, index), so a resumed run drops what an unbroken one would, and processes
    with different examples drop different units. The numbers do depend on how examples are grouped into batches.
    """
    bits = u_BD.detach().contiguous().view(torch.int64 if u_BD.dtype == torch.float64 else torch.int32).flatten()
    place = torch.arange(1, 2 * len(bits), 2, device=bits.device)  # odd, so that equal entries elsewhere count anew
    key = int((bits.to(torch.int64) * place).sum())
    return Generator(u_BD.device).manual_seed(key % 2**63)


def drop(h: Tensor, share: float, generator: Generator | None) -> Tensor:
    """Return h with a share of its entries set to zero and the others scaled up (Srivastava et al. 2014).

    Args:
        h: any shape.
        share: probability of being dropped.
        generator: of the masks; None drops nothing.
    """
    if generator is None:
        return h
    kept = torch.rand(h.shape, generator=generator, device=h.device) >= share
    return h * kept / (1 - share)
