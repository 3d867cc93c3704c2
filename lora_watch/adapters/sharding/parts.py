"""The part of a parameter that this rank has, and where it belongs, without asking another rank."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lora_watch.adapters.tensors import local, partitioned, sharded


class ShardLocation(NamedTuple):
    """Where what this rank has of a parameter belongs in the whole."""

    shape: tuple[int, ...]
    """Of the whole parameter."""
    grid: tuple[int, ...]
    """How the whole lies when it is cut: its shape; ZeRO-3 cuts all its numbers in one row."""
    offset: tuple[int, ...]
    """Where the part begins in ``grid``."""


def part_of(parameter: Any) -> Tensor:
    """What this rank has of ``parameter``, without gradient history; perhaps nothing."""
    if not partitioned(parameter):
        return local(parameter)
    # All numbers in a row are cut into pieces of one length, the last of them padded.
    return parameter.ds_tensor.detach().flatten()[: max(int(parameter.ds_numel) - _start(parameter), 0)]


def place_of(parameter: Any) -> ShardLocation | None:
    """Where ``part_of(parameter)`` belongs; None where there is nothing of it here, or another rank has the same. The
    parts of all ranks together are the whole. What is whole on every rank is the first one's."""
    if not part_of(parameter).numel():
        return None
    if partitioned(parameter):
        return ShardLocation(tuple(parameter.ds_shape), (int(parameter.ds_numel),), (_start(parameter),))
    if sharded(parameter):
        return _dtensor(parameter)
    first = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
    shape = tuple(parameter.shape)
    return ShardLocation(shape, shape, (0,) * len(shape)) if first else None


def _dtensor(parameter: Any) -> ShardLocation | None:
    at = parameter.device_mesh.get_coordinate()  # None on ranks outside the mesh
    if at is None or any(p.is_replicate() and place for p, place in zip(parameter.placements, at)):
        return None
    (chunk,) = parameter.__create_chunk_list__()  # as torch.distributed.checkpoint asks; no other rank is
    shape = tuple(parameter.shape)
    return ShardLocation(shape, shape, tuple(chunk.offsets))


def _start(parameter: Any) -> int:
    ranks = getattr(parameter, "ds_process_group", None)  # older ones know of one group only
    return torch.distributed.get_rank(ranks) * parameter.ds_tensor.numel()
