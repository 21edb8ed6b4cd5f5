"""The best linear denoisers of MNIST with Gaussian noise, beside the Wiener filter: what a model must beat.

python benchmarks/denoising.py --sigma 0.6    # beside: python src/eval.py run=runs/csm-made-mnist/<hash> task=denoising
"""

import argparse

import torch

from scorewise.data.images import Mnist
from scorewise.denoising import LinearMMSE, gaussian, wiener
from scorewise.noise import Draws
from scorewise.tasks.denoising import psnr


def main() -> None:
    """Print PSNR in dB with standard errors, on the images and the noise that task=denoising takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sigma", type=float, default=0.6)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    source = Mnist()
    source.prepare()
    train_ND = source.examples("train", torch.arange(source.count("train")), 0, given.seed)
    index_B = torch.arange(given.images)
    clean_BD = source.examples("test", index_B, -1, given.seed)
    noisy_BD = gaussian(clean_BD, given.sigma, Draws.of(given.seed, -1, index_B))
    linear = LinearMMSE(train_ND, given.sigma)
    tried = {
        "noisy": noisy_BD,
        "noisy, clamped": noisy_BD.clamp(-1, 1),
        **{f"Wiener {size} x {size}": wiener(noisy_BD, source.shape, given.sigma, size) for size in (3, 5, 7)},
        "causal linear MMSE": linear.causal(noisy_BD),
        "joint linear MMSE": linear.joint(noisy_BD),
    }
    for name, x_BD in tried.items():
        found_B = psnr(x_BD if name == "noisy" else x_BD.clamp(-1, 1), clean_BD)
        print(f"{name:20s} {found_B.mean():6.2f} dB ({found_B.std() / len(found_B) ** 0.5:.2f})")


if __name__ == "__main__":
    main()
