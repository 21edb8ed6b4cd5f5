"""What one CSM step needs in memory above parameters and gradients, fused and by double backward.

    python benchmarks/memory.py [--repeats 5] [--threads 1] [--device cpu]

Every measurement is a process of its own: the high-water mark of its resident memory over one forward and backward
pass (64 examples of 784 dimensions, MADE 2 x 1000, context 32, head 2 x 64 silu), less what was there before and the
gradients that stay; freed memory goes back at once (MALLOC_MMAP_THRESHOLD_). Linux only. On CUDA it is the allocator's
peak instead.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from record import ratio_row, write
from reference import ReferenceARCSM
from torch import Tensor, nn
from train_step import BATCH, CONTEXT, DIMS, HEAD, TRUNK, conditional_score

from scorewise.noise import Draws
from scorewise.objectives import CSM, Objective

VARIANTS = ("fused", "double_backward", "reference")
MIB = 2**20


def resident(name: str) -> int:
    """Return VmRSS or VmHWM of this process in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found.group(1))


def loss_of(variant: str) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return a module and its loss."""
    if variant == "reference":
        module = ReferenceARCSM(DIMS, CONTEXT, TRUNK, HEAD)
        return module, module.loss
    model = conditional_score()
    call = CSM().__call__ if variant == "fused" else lambda *arguments: Objective.__call__(CSM(), *arguments)
    return model, lambda x_BD: call(model, x_BD, Draws.of(0, 0, torch.arange(len(x_BD), device=x_BD.device))).total


def peak(variant: str, device: torch.device) -> float:
    """Return the memory of one step of this process above parameters and gradients, in MiB."""
    module, loss = loss_of(variant)
    module.to(device)
    for rows in (1, 2):  # loads and warms up everything that is no activation
        loss(torch.randn(rows, DIMS, device=device)).backward()
        module.zero_grad()
    x_BD = torch.randn(BATCH, DIMS, device=device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
        before = resident("VmRSS")
    loss(x_BD).backward()
    kept = sum(p.grad.numel() * p.grad.element_size() for p in module.parameters() if p.grad is not None)
    highest = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else resident("VmHWM")
    return (highest - before - kept) / MIB


def measured(variant: str, threads: int, device: str) -> float:
    """Return `peak` in a fresh process."""
    command = [sys.executable, __file__, "--variant", variant, "--threads", str(threads), "--device", device]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure, print and write docs/benchmarks/memory.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variant", choices=VARIANTS, help="measure this process only, and print MiB")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.variant:
        print(peak(arguments.variant, torch.device(arguments.device)))
        return
    taken: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.repeats):
        for name in VARIANTS:
            taken[name].append(measured(name, arguments.threads, arguments.device))

    def ratios(one: str, other: str) -> list[float]:
        return [a / b for a, b in zip(taken[one], taken[other], strict=True)]

    rows = [
        ratio_row("activation memory of the CSM step / double backward", ratios("fused", "double_backward"), 0.15),
        ratio_row("activation memory of the CSM step / reference step", ratios("fused", "reference"), 0.15),
    ]
    mebibytes = {name: median(values) for name, values in taken.items()}
    print(", ".join(f"{name} {value:.1f} MiB" for name, value in mebibytes.items()))
    write("memory", rows, torch.device(arguments.device), mebibytes=mebibytes)


if __name__ == "__main__":
    main()
