"""Reproduce a figure: python src/reproduce.py figure=fig2 budget=cpu."""

from scorewise.commands.cli import run

if __name__ == "__main__":
    run("reproduce")
