"""Restore images or give rows their log-densities: python src/predict.py run=runs/... input=my_images (or my.csv)."""

from scorewise.commands.ready import run

if __name__ == "__main__":
    run("predict")
