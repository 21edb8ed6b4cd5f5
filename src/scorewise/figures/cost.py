"""What one training step costs: time in interleaved rounds, and peak memory."""

import statistics
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from scorewise.noise import Draws
from scorewise.objectives.objective import Objective

Step = Callable[[], None]


def training_step(model: nn.Module, objective: Objective, x_BD: Tensor) -> Step:
    """Return one step of Adam on a batch, as a function."""
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    draws = Draws.of(0, 0, torch.arange(len(x_BD)).to(x_BD.device))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        objective(model, x_BD, draws).total.backward()
        optimizer.step()

    return step


def seconds_per_step(steps: Mapping[str, Step], rounds: int, device: torch.device) -> dict[str, float]:
    """Return the median time of each step over interleaved rounds, after one round of warming up.

    On a CPU it is processor time, which other programs on the machine disturb less.
    """
    seen: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        for name, step in steps.items():
            started = _now(device)
            step()
            if round_:
                seen[name].append(_now(device) - started)
    return {name: statistics.median(values) for name, values in seen.items()}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def peak_bytes(step: Step, device: torch.device) -> int:
    """Return the most memory that tensors made during a step hold at one time, above what was there before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with _LiveMemory() as live:
        step()
    peak: int = live.peak
    return peak


class _LiveMemory(TorchDispatchMode):
    """A count of the bytes of the storages that operations make, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self.known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {storage.data_ptr() for storage in _storages((args, kwargs or {}))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage.data_ptr() not in given and storage not in self.known:
                self._made(storage)
        return result

    def _made(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self.known.add(storage)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.now -= size


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    leaves = [leaf for leaf in tree_iter(tree) if isinstance(leaf, Tensor)]
    return [leaf.untyped_storage() for leaf in leaves if _holds_memory(leaf)]


def _holds_memory(leaf: Tensor) -> bool:
    # The wrappers of torch.func and its symbolic zeros have no memory; what they wrap comes through here as well.
    return not torch._C._functorch.is_functorch_wrapped_tensor(leaf) and not torch._is_zerotensor(leaf)
