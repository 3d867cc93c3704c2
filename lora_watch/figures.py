"""Pictures with matplotlib, which is imported when one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")


def new_figure(path: Path, width: float, height: float) -> Figure:
    """An empty figure of this many inches, to be saved as ``path``.

    Raises ImportError when matplotlib is not there, ValueError for a suffix other than ``SUFFIXES``.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("a figure needs matplotlib: pip install matplotlib") from None
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: name a .png, .svg or .pdf")
    return Figure(figsize=(width, height), layout="constrained")


def plain(text: str) -> str:
    """``text`` as itself: matplotlib takes what stands between two dollar signs for a formula."""
    return text.replace("$", r"\$")
