"""Pictures with matplotlib, which is imported when one is drawn."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from lora_watch.base.lazy import needed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """Of this many inches. Raises ModuleNotFoundError when matplotlib is not there."""
    needed("matplotlib")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
