"""Restore a folder of images with a finished run: python src/predict.py run=runs/... input=my_images."""

from scorewise.cli import run

if __name__ == "__main__":
    run("predict")
