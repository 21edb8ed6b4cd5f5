"""What the commands do with a trained model of blocks at every noise level."""

from collections.abc import Callable

import numpy as np
from conftest import Outcome
from PIL import Image

TRAIN = (
    *("data=digits", "data.smoothing=0", "debug=tiny", "test=false", "backbone=patch_transformer"),
    *("backbone.patch=[4,4]", "backbone.size=16", "backbone.blocks=1", "head=noisy_block_score", "head.hidden=16"),
    *("objective=csm_annealed", "objective.target=dsm", "objective.sigma_max=4", "objective.sigma_min=0.1"),
    *("likelihood=block_flow_ode", "likelihood.steps=4"),
)


def test_every_command_does_it_or_says_why_not(command: Callable[..., Outcome]) -> None:
    ended = command(*TRAIN)
    assert ended.status == 0, ended.err
    run, photos = f"run={ended.run}", ended.folder / "photos"
    photos.mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(photos / "one.png")

    def did(*words: str, name: str) -> str:
        done = command(run, *words, name=name)
        assert done.status == 0, done.err
        return done.out

    assert "samples.npz" in did("n=3", name="sample")
    assert "psnr_restored" in did("task=denoising", "task.sigma=0.3", "task.images=4", name="eval")
    few = ("task.images=8", "task.likelihood_images=2", "task.resamples=5", "task.out=[black]")
    assert "multiscale_norms" in did("task=ood", *few, name="eval")
    assert "1 restored" in did(f"input={photos}", "task.sigma=0.3", name="predict")
    assert "1 scored" in did(f"input={photos}", "task=ood", *few[:2], name="predict")

    def refusal(*words: str, name: str) -> str:
        refused = command(run, *words, name=name)
        assert refused.status == 1
        return refused.err

    assert "task.sigma must be given, from 0.1 to 4" in refusal("task=denoising", name="eval")
    assert "use task=denoising or task=ood" in refusal(f"input={photos}", "task=density", name="predict")
    salted = ("task=denoising", "task.corruption=salt_and_pepper", "task.mode=sequential")
    assert "needs draws of conditionals, and NoisyBlockScore has none" in refusal(*salted, name="eval")
