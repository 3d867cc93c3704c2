"""FSDP2 and tensor parallelism: parameters and gradients are DTensors, each of which ``full_tensor()`` would gather by
a collective of its own."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from lora_watch.adapters.tensors import sharded


@torch.no_grad()
def wholes(parameters: Iterable[Tensor]) -> dict[int, Tensor]:
    """Those of ``parameters`` that are cut along their rows, as FSDP2 does it, whole, by their identity. One collective
    for each mesh, dtype and device. What is placed in another way is left out."""
    alike: dict[tuple[Any, ...], list[Any]] = {}
    for parameter in parameters:
        if sharded(parameter) and (split := row_split(parameter)) is not None:
            tensor: Any = parameter
            alike.setdefault((tensor.device_mesh, split, tensor.dtype, tensor.to_local().device), []).append(tensor)
    return {id(p): t for (mesh, split, *_), same in alike.items() for p, t in zip(same, _gather(same, mesh, split))}


def row_split(parameter: Any) -> int | None:
    """The one dimension of the mesh over which the rows are dealt out in turn; None for any other placement."""
    cut = [dim for dim, placement in enumerate(parameter.placements) if not placement.is_replicate()]
    if len(cut) != 1:
        return None
    placement = parameter.placements[cut[0]]
    return cut[0] if type(placement).__name__ == "Shard" and placement.dim == 0 else None


def _gather(parameters: Sequence[Any], mesh: Any, split: int) -> list[Tensor]:
    """``full_tensor()`` of each by one collective. Each rank adds its own rows to zeros: the bytes hardly grow with the
    ranks, where gathering would pad r rows of A to as many as there are ranks."""
    flat = parameters[0].to_local().new_zeros(sum(parameter.numel() for parameter in parameters))
    parts = flat.split([parameter.numel() for parameter in parameters])
    wholes = [part.view(parameter.shape) for part, parameter in zip(parts, parameters)]
    for whole, parameter in zip(wholes, parameters):
        mine = parameter.to_local()
        start = mesh.get_local_rank(split) * -(-len(whole) // mesh.size(split))  # the last rank may have fewer rows
        whole[start : start + len(mine)] = mine
    torch.distributed.all_reduce(flat, group=mesh.get_group(split))
    return wholes


@torch.no_grad()
def norms(gradients: Sequence[Any]) -> Tensor:
    """‖g‖_F of DTensors, float64 ``[n]``: each rank's squares, added up by one all-reduce for each group of ranks. A
    collective. Sums that are still to be made (``Partial``) are made first, one tensor after the other."""
    parts: dict[tuple[Any, int], list[int]] = {}
    local = []
    for i, gradient in enumerate(gradients):
        if any(placement.is_partial() for placement in gradient.placements):
            local.append(gradient.full_tensor())
            continue
        local.append(gradient.to_local())
        for dim, placement in enumerate(gradient.placements):
            if not placement.is_replicate():
                parts.setdefault((gradient.device_mesh, dim), []).append(i)
    squares = torch.stack([torch.linalg.vector_norm(gradient, dtype=torch.float64) for gradient in local]) ** 2
    for (mesh, dim), members in parts.items():
        part = squares[members]
        torch.distributed.all_reduce(part, group=mesh.get_group(dim))
        squares[members] = part
    return squares.sqrt()
