"""Tune: python src/tune.py objective=csm data=digits study.trials=20."""

from scorewise.commands.ready import run

if __name__ == "__main__":
    run("tune")
