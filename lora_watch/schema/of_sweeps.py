"""JSON Schema of what a sweep of the learning rate leaves."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from lora_watch.lr_finder import Suggestion
from lora_watch.schema.of_types import of, of_dataclass


class Columns(TypedDict):
    rate: list[float]
    loss: list[float]
    smoothed: Annotated[list[float], "Mean of the last five losses, cut off above where the sweep began."]
    output_ratio: Annotated[list[float], "Depth-scaled."]


class Said(TypedDict):
    version: Literal[1]
    sentences: Annotated[list[str], "The printed lines, the answer first."]


def of_a_sweep() -> dict[str, Any]:
    """Of ``find_lr.json``."""
    return {**of_dataclass(Suggestion, curve=Columns), "allOf": [of(Said)]}
