"""One run in its folder: training, evaluation, prediction, samples and pictures."""
