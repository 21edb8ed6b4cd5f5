"""Train the feature extractor of FID and KID: python src/features.py data=mnist."""

from scorewise.commands.cli import run

if __name__ == "__main__":
    run("features")
