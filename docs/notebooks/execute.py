"""Execute the notebooks, each in a fresh kernel, and store what they print and draw: make notebooks."""

import base64
import io
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent
SECONDS = 600
"""A cell that takes longer has hung."""


def executed(file: Path, folder: Path) -> Any:
    """Return a notebook with the outputs of a fresh kernel, and nothing of when and where its cells ran.

    Args:
        file: the notebook.
        folder: where the kernel works, and its runs stay.

    Raises:
        CellExecutionError: a cell fails.
        CellTimeoutError: a cell takes too long.
    """
    book: Any = nbformat.read(file, as_version=4)
    NotebookClient(
        book,
        timeout=SECONDS,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    book.metadata["language_info"] = {"name": "python"}
    for bundle in (output["data"] for cell in book.cells for output in cell.get("outputs", []) if "data" in output):
        if "image/png" in bundle:
            bundle["image/png"] = _smaller(bundle["image/png"])
    return book


def _smaller(picture: str) -> str:
    """Return a picture, encoded in base64, in 256 colours: less than half the size, and the same to the eye."""
    file = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB").quantize(256).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def processor_seconds() -> float:
    """Return the processor time of the kernels that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(names: list[str]) -> None:
    """Execute notebooks in place, all of them where none is named."""
    for file in map(Path, names) if names else sorted(FOLDER.glob("*.ipynb")):
        before = processor_seconds()
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(file, Path(folder)), file)
        print(f"{file.name}: {processor_seconds() - before:.0f} s of processor time")


if __name__ == "__main__":
    main(sys.argv[1:])
