"""Train: python src/train.py objective=csm backbone=made data=mnist."""

from scorewise.commands.ready import run

if __name__ == "__main__":
    run("train")
