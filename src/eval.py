"""Test a finished run again: python src/eval.py run=runs/...."""

from scorewise.commands.ready import run

if __name__ == "__main__":
    run("eval")
