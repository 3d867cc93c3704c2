"""An adapter in parts: a file from each process, and how they become whole again.

``part-00000-of-00002.safetensors`` holds what the first of two processes had, by the names of the model's parameters.
Its metadata, under ``lora_watch``, is JSON: ``version`` 1, ``step``, ``ranks``, and under ``tensors`` where each
belongs: ``shape``, ``grid`` and ``offset`` of ``lora_watch.adapters.sharding.parts.ShardLocation``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lora_watch.adapters.sharding.parts import ShardLocation
from lora_watch.base.text import clean
from lora_watch.base.untrusted import MISFITS, parse_json, whole
from lora_watch.snapshots.weights import StoredError, opened

VERSION = 1


def write_part(
    folder: Path, tensors: Mapping[str, Tensor], places: Mapping[str, ShardLocation], step: int, rank: int, ranks: int
) -> None:
    """What ``rank`` has after ``step`` steps: ``tensors``, on the CPU, each of which belongs in its place. Raises
    OSError."""
    header = {
        "version": VERSION,
        "step": step,
        "ranks": ranks,
        "tensors": {name: places[name]._asdict() for name in tensors},
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"part-{rank:05d}-of-{ranks:05d}.safetensors"
    save_file(dict(tensors), file, {"lora_watch": json.dumps(header)})


def read_parts(folder: Path) -> dict[str, Tensor]:
    """The whole parameters whose parts are in ``folder``, on the CPU, by their names in the model.

    ``model.load_state_dict(read_parts(folder), strict=False)`` puts them into a model that was made as the one that was
    trained; its ``save_pretrained`` then writes an adapter as PEFT reads it.

    Raises StoredError where a part is missing or damaged, or they are not of one step.
    """
    files = sorted(folder.glob("part-*-of-*.safetensors"))
    headers = [_header(file) for file in files]
    if not files:
        raise StoredError(f"{folder}: no parts of an adapter are there")
    if len({(one["step"], one["ranks"]) for one in headers}) > 1:
        raise StoredError(f"{folder}: the parts are of several steps or runs")
    if len(files) != headers[0]["ranks"]:
        raise StoredError(
            f"{folder}: {len(files)} of {headers[0]['ranks']} parts are there; if the machines of a run share no "
            "folder, copy the other parts here"
        )
    pieces: dict[str, dict[tuple[int, ...], Tensor]] = {}
    places: dict[str, Mapping[str, Any]] = {}
    try:
        for file, one in zip(files, headers):
            with opened(file) as content:
                for name, place in one["tensors"].items():
                    pieces.setdefault(name, {})[tuple(place["offset"])] = content.get_tensor(name)
                    places[name] = place
        return {name: _joined(name, places[name], found) for name, found in pieces.items()}
    except (OSError, RuntimeError, SafetensorError, *MISFITS) as error:
        raise StoredError(f"{folder}: the parts do not fit each other: {clean(error)}") from None


def _header(file: Path) -> dict[str, Any]:
    with opened(file) as content:
        metadata = content.metadata()
    try:
        header = parse_json(metadata["lora_watch"])
        if header["version"] != VERSION:
            raise ValueError(f"version {header['version']}")
        return {"step": whole(header["step"]), "ranks": whole(header["ranks"]), "tensors": dict(header["tensors"])}
    except MISFITS as error:
        raise StoredError(f"{file}: not a part of an adapter: {clean(error)}") from None


def _joined(name: str, place: Mapping[str, Any], pieces: Mapping[tuple[int, ...], Tensor]) -> Tensor:
    """``pieces`` by their offsets. No more memory is taken than they take themselves."""
    grid, there = tuple(place["grid"]), sum(piece.numel() for piece in pieces.values())
    if there != math.prod(grid):
        raise ValueError(f"of {clean(name)} there are {there} of {math.prod(grid)} numbers")
    tensor = torch.empty(grid, dtype=next(iter(pieces.values())).dtype)
    for offset, piece in pieces.items():
        tensor[tuple(slice(start, start + length) for start, length in zip(offset, piece.shape, strict=True))] = piece
    return tensor.view(tuple(place["shape"]))
