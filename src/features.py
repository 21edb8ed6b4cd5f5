"""Train the feature extractor of FID and KID: python src/features.py data=mnist."""

from scorewise.commands.ready import run

if __name__ == "__main__":
    run("features")
