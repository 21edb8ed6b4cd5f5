"""Weights as safetensors files: plain numbers, with a checksum of their own."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from scorewise.files import put_bytes
from scorewise.stored import Unreadable

CHECKSUM = "crc32"
"""Where the metadata of a file hold the checksum of its tensors; files of release 0.1.0 have none."""


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors by name, whole or not at all.

    Raises:
        UserError: see `put_bytes`.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    put_bytes(path, save(plain, {CHECKSUM: _checksum(plain)}))


def read_weights(path: Path, finite: bool = True) -> dict[str, Tensor]:
    """Return the tensors of a file by name, on the CPU.

    Args:
        path: of the file.
        finite: refuse numbers that are not finite, which no weight is.

    Raises:
        Unreadable: it cannot be opened or is damaged, or see finite.
    """
    try:
        path.open("rb").close()  # safetensors takes any file that it cannot open for one that is not there
        with safe_open(path, framework="pt") as file:
            metadata, weights = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise Unreadable((str(error).splitlines() or [type(error).__name__])[0]) from error
    if metadata.get(CHECKSUM, found := _checksum(weights)) != found:
        raise Unreadable("its numbers are not those that were written: their checksum is another")
    for name, value in weights.items():
        if finite and not bool(value.isfinite().all()):
            raise Unreadable(f"{name} holds what is no number")
    return weights


def fill(model: nn.Module, path: Path) -> None:
    """Put the tensors of a file into a model, which is in double precision afterwards where they are.

    Raises:
        Unreadable: see `read_weights`; they are those of another model.
    """
    weights = read_weights(path)
    if any(value.dtype == torch.float64 for value in weights.values()):
        model.double()
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise Unreadable("these are the weights of another model") from error


def _checksum(weights: Mapping[str, Tensor]) -> str:
    """Return a CRC-32 of names, types, shapes and bytes; a cryptographic one would take a sixth of loading."""
    found = 0
    for name, value in sorted(weights.items()):
        found = zlib.crc32(f"{name} {value.dtype} {list(value.shape)}".encode(), found)
        found = zlib.crc32(value.reshape(-1).view(torch.uint8).numpy().data, found)
    return f"{found:08x}"
