"""Images of a joint score at every noise level: a few dozen evaluations of the probability flow, or Langevin dynamics.

FID of as many samples each against the clean test images, by the project's own classifier, one model (one seed).

    python src/train.py experiment=ncsn_mnist && python src/features.py data=mnist
    python benchmarks/joint_sampling.py runs/dsm_multiscale-unet-mnist --samples 500
"""

import argparse
import time
from pathlib import Path

import torch
from record import ratio_row, write

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


def main() -> None:
    """Draw, compare and write docs/benchmarks/joint_sampling.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=500)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model, source = scorewise.load(asked.run), Mnist(str(data_root(None)), str(cache_root(None)))
    source.prepare()
    extractor = ExtractorStore(cache_root(None) / "features").take(None, source)
    images = ReferenceImages(extractor, source, "test", 100, asked.samples // 2, 0)
    found: dict[str, dict[str, float]] = {}
    for name, (sampler, evaluations) in SAMPLERS.items():
        model.sampler = sampler
        started = time.process_time()
        x_BD = draw(model, asked.samples, 250, 0, True, 0, 1)
        seconds = time.process_time() - started
        distances = images.of(eight_bits(x_BD, source.shape), describe(model, True))
        found[name] = {"fid": distances["fid"].value, "evaluations": evaluations, "seconds": seconds}
        print(name, found[name], flush=True)
    flow, langevin = (found[name]["fid"] for name in (next(iter(SAMPLERS)), list(SAMPLERS)[-1]))
    claim = "joint score on MNIST: FID of 35 evaluations of the flow / 1,001 of Langevin"
    write("joint_sampling", [ratio_row(claim, [flow / langevin], 0.7)], torch.device("cpu"), **found)


if __name__ == "__main__":
    main()
