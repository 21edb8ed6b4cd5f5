"""Draw examples from a finished run: python src/sample.py run=runs/... n=1000."""

from scorewise.commands.ready import run

if __name__ == "__main__":
    run("sample")
