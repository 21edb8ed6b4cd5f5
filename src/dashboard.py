"""Lay out the comparison of a group of runs in W&B: python src/dashboard.py project=scorewise group=digits."""

from scorewise.commands.ready import run

if __name__ == "__main__":
    run("dashboard")
