"""Reproduce a figure: python src/reproduce.py figure=fig2 budget=cpu."""

from scorewise.commands.ready import run

if __name__ == "__main__":
    run("reproduce")
