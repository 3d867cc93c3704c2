"""Pictures with matplotlib, which is imported when one is drawn."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")


class Picture:
    """A figure that a notebook shows by itself."""

    def __init__(self, figure: Figure):
        self.figure = figure
        """matplotlib's, to change or to save."""

    def _repr_png_(self) -> bytes:
        drawn = io.BytesIO()
        self.figure.savefig(drawn, format="png")
        return drawn.getvalue()


def empty_figure(width: float, height: float) -> Figure:
    """Of this many inches. Raises ImportError when matplotlib is not there."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("a figure needs matplotlib: pip install matplotlib") from None
    return Figure(figsize=(width, height), layout="constrained")


def new_figure(path: Path, width: float, height: float) -> Figure:
    """An empty figure of this many inches, to be saved as ``path``.

    Raises ImportError when matplotlib is not there, ValueError for a suffix other than ``SUFFIXES``.
    """
    figure = empty_figure(width, height)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: name a .png, .svg or .pdf")
    return figure


def plain(text: str) -> str:
    """``text`` as itself: matplotlib takes what stands between two dollar signs for a formula."""
    return text.replace("$", r"\$")
