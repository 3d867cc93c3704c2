"""A saved adapter as a picture: where its energy lies, and how its spectra fall."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lora_watch.figures import new_figure, plain
from lora_watch.names import layer_index
from lora_watch.records import FloatArray
from lora_watch.stored.inspecting import Inspection


def draw(inspection: Inspection, path: Path) -> None:
    """Write the picture in the format of the suffix: ``.png``, ``.svg`` or ``.pdf``.

    Raises ImportError when matplotlib is not there, ValueError for another suffix, OSError when it cannot be written.
    """
    kinds, blocks, grid = by_place(inspection)
    figure = new_figure(path, 11, 1.6 + 0.34 * max(len(kinds), 7))
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    image = left.imshow(grid, aspect="auto", cmap="viridis", interpolation="nearest")
    left.set(title="‖ΔW‖ of each layer", xlabel="transformer block")
    left.set_yticks(range(len(kinds)), map(plain, kinds))
    every = -(-len(blocks) // 16)
    left.set_xticks(range(0, len(blocks), every), blocks[::every])
    figure.colorbar(image, ax=left)
    for spectrum in inspection.spectra:
        known = spectrum[spectrum > 0]
        if len(known) and np.isfinite(known).all():
            right.plot(np.arange(1, len(known) + 1), known / known[0], color="#0072b2", alpha=0.15)
    right.set(title="spectra, each relative to its own σ₁", xlabel="singular value", yscale="log")
    figure.savefig(path, dpi=150)


def by_place(inspection: Inspection) -> tuple[list[str], list[str], FloatArray]:
    """Kinds of layers, blocks, and ‖ΔW‖_F ``[kinds, blocks]`` with NaN where there is no adapter.

    Layers outside of any block are in a column of their own, the first.
    """
    names = inspection.measurement.names
    places = [layer_index(name) for name in names]
    columns = sorted({-1 if place is None else place for place in places})
    endings = [".".join(name.split(".")[-2:]) for name in names]
    kinds = list(dict.fromkeys(endings))
    grid = np.full((len(kinds), len(columns)), np.nan)
    for ending, place, norm in zip(endings, places, inspection.measurement.delta_norm):
        grid[kinds.index(ending), columns.index(-1 if place is None else place)] = norm
    return kinds, ["none" if column < 0 else str(column) for column in columns], grid
