"""Images of a joint score at every noise level: a few dozen evaluations of the probability flow, or Langevin dynamics.

FID of as many samples each against the clean test images, by the project's own classifier, one seed: by every sampler
of a model of `experiment=ncsn_mnist`, then by the flows of one of `experiment=joint_mnist`, which was trained for as
many steps with log-normal levels and the EDM weight. What was measured before is kept.

    python src/features.py data=mnist
    python src/train.py experiment=ncsn_mnist && python src/train.py experiment=joint_mnist
    python benchmarks/joint_sampling.py runs/<ncsn_mnist> --samples 500
    python benchmarks/joint_sampling.py runs/<joint_mnist> --samples 500 --only probability_flow --of joint_mnist
"""

import argparse
import json
import time
from pathlib import Path

import torch
from record import FOLDER, ratio_row, write

import scorewise
from scorewise.capabilities import Sampler
from scorewise.data.images import Mnist
from scorewise.data.roots import cache_root, data_root
from scorewise.quality import ExtractorStore, ReferenceImages, describe, draw, eight_bits
from scorewise.sampling import AnnealedLangevin, ProbabilityFlow

SAMPLERS: dict[str, tuple[Sampler, int]] = {
    "probability_flow, 17 steps": (ProbabilityFlow(17), 35),
    "probability_flow, 17 steps, churn 8": (ProbabilityFlow(17, churn=8.0), 35),
    "probability_flow, 9 steps": (ProbabilityFlow(9), 19),
    "annealed_langevin, 10 levels of 3 steps": (AnnealedLangevin(3), 31),
    "annealed_langevin, 10 levels of 100 steps": (AnnealedLangevin(100), 1001),
}
"""Samplers with their evaluations of the score, the last one to take the noise away."""
FLOW, CHURN, _, _, LANGEVIN = SAMPLERS


def main() -> None:
    """Draw, compare and write docs/benchmarks/joint_sampling.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--only", default="", help="samplers whose names begin so")
    parser.add_argument("--of", default="", help="the experiment, where it is not ncsn_mnist")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model, source = scorewise.load(asked.run), Mnist(str(data_root(None)), str(cache_root(None)))
    source.prepare()
    extractor = ExtractorStore(cache_root(None) / "features").take(None, source)
    images = ReferenceImages(extractor, source, "test", 100, asked.samples // 2, 0)
    kept = FOLDER / "joint_sampling.json"
    before = json.loads(kept.read_text()) if kept.is_file() else {}
    found: dict[str, dict[str, float]] = {name: of for name, of in before.items() if isinstance(of, dict)}
    for name, (sampler, evaluations) in SAMPLERS.items():
        if not name.startswith(asked.only):
            continue
        model.sampler = sampler
        started = time.process_time()
        x_BD = draw(model, asked.samples, 250, 0, True, 0, 1)
        seconds = time.process_time() - started
        distances = images.of(eight_bits(x_BD, source.shape), describe(model, True))
        label = f"{asked.of}: {name}" if asked.of else name
        found[label] = {"fid": distances["fid"].value, "evaluations": evaluations, "seconds": seconds}
        print(label, found[label], flush=True)
    claims = {
        "joint score on MNIST: FID of 35 evaluations of the flow / 1,001 of Langevin": FLOW,
        "the same of the flow of experiment=joint_mnist, as many steps of training": f"joint_mnist: {FLOW}",
        "the same with churn": f"joint_mnist: {CHURN}",
    }
    rows = [
        ratio_row(claim, [found[name]["fid"] / found[LANGEVIN]["fid"]], 0.7)
        for claim, name in claims.items()
        if {name, LANGEVIN} <= set(found)
    ]
    write("joint_sampling", rows, torch.device("cpu"), **found)


if __name__ == "__main__":
    main()
