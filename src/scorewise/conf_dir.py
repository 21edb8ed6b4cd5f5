"""Where Scorewise's own configs are."""

from pathlib import Path


def conf_dir() -> Path:
    """This is the folder of Scorewise's own configs: inside the package when installed, else beside src/."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"
