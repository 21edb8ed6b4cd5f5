"""Which code a run was made with."""

import subprocess
from pathlib import Path

from scorewise.version import __version__


def code_version() -> dict[str, str | bool | None]:
    """Return the package's version and, in a checkout of it, the git commit and whether files differ from that.

    None stands for what git does not say. Files that git does not know do not count.
    """
    here = Path(__file__)
    # An installed package may lie inside a checkout of something else, which does not track it.
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return {"scorewise": __version__}
    commit = _git(here.parent, "rev-parse", "HEAD") or "unknown"
    changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return {"scorewise": __version__, "commit": commit, "modified": None if changed is None else bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git answers, or None where it refuses or is not there."""
    try:
        ended = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip()
