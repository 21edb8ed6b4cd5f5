"""What a benchmark leaves behind: one JSON file in docs/benchmarks/."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

import torch

FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"
Row = dict[str, object]


def now(device: torch.device) -> float:
    """Return processor time on a CPU, which other programs disturb less, and wall time on an accelerator."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def ratio_row(claim: str, ratios: Sequence[float], goal: float) -> Row:
    """Return a row of the table: the median over rounds with its quartiles, and what was aimed at (at most)."""
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    row: Row = {
        "claim": claim,
        "ratio": float(f"{median(ratios):.4g}"),
        "low": float(f"{low:.4g}"),
        "high": float(f"{high:.4g}"),
        "goal": goal,
    }
    verdict = "reached" if median(ratios) <= goal else "missed"
    print(f"{claim:72s} {median(ratios):8.3g}  [{low:.3g}, {high:.3g}]  goal <= {goal:g}: {verdict}")
    return row


def write(name: str, rows: Sequence[Row], device: torch.device, **numbers: Mapping[str, float]) -> None:
    """Write docs/benchmarks/NAME.json, or NAME_cuda.json with the accelerator in it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    content = {
        "name": name,
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "when": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "rows": list(rows),
        **{key: {label: float(f"{value:.4g}") for label, value in table.items()} for key, table in numbers.items()},
    }
    path = FOLDER / f"{name}{'' if device.type == 'cpu' else '_' + device.type}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"wrote docs/benchmarks/{path.name}")
