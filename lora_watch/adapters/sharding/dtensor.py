"""FSDP2 and tensor parallelism: parameters and gradients are DTensors.

``full_tensor()`` is a collective for each. Here all factors of one dtype are gathered by one, to the same bits, and of
gradients, of which only the norms are wanted, no more than these go over the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
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
            local = parameter.to_local()  # pyright: ignore[reportAttributeAccessIssue]
            key = parameter.device_mesh, split, local.dtype, local.device  # pyright: ignore[reportAttributeAccessIssue]
            alike.setdefault(key, []).append(parameter)
    return {id(p): t for (mesh, split, *_), same in alike.items() for p, t in zip(same, _gather(same, mesh, split))}


def row_split(parameter: Any) -> int | None:
    """The one dimension of the mesh over which the rows are dealt out in turn; None for any other placement."""
    cut = [dim for dim, placement in enumerate(parameter.placements) if not placement.is_replicate()]
    if len(cut) != 1:
        return None
    placement = parameter.placements[cut[0]]
    return cut[0] if type(placement).__name__ == "Shard" and placement.dim == 0 else None


def pieces(shapes: Iterable[torch.Size], ranks: int) -> list[int]:
    """Numbers of each matrix that a rank has at most. Rows are dealt out in runs of one length, to the last less."""
    return [-(-shape[0] // ranks) * shape[1:].numel() for shape in shapes]


def adds_up(shapes: Sequence[torch.Size], ranks: int) -> bool:
    """Whether adding up moves less than gathering, whose pieces are padded: r rows of A over more than 2r ranks are
    twice the matrix and more. All that is added to a number is zeros."""
    return ranks * sum(pieces(shapes, ranks)) > 2 * sum(shape.numel() for shape in shapes)


def _gather(parameters: Sequence[Any], mesh: Any, split: int) -> list[Tensor]:
    """``full_tensor()`` of each by one collective."""
    ranks, shapes = mesh.size(split), [p.shape for p in parameters]
    local, group = [p.to_local() for p in parameters], mesh.get_group(split)
    sizes, summed = pieces(shapes, ranks), adds_up(shapes, ranks)
    lengths = [shape.numel() for shape in shapes] if summed else sizes
    starts = [0, *accumulate(lengths)]
    mine = local[0].new_zeros(starts[-1])
    for start, size, piece in zip(starts, sizes, local):
        first = start + mesh.get_local_rank(split) * size if summed else start
        mine[first : first + piece.numel()] = piece.flatten()
    if summed:
        torch.distributed.all_reduce(mine, group=group)
        return [part.view(shape) for part, shape in zip(mine.split(lengths), shapes)]
    flat = mine.new_empty(ranks * mine.numel())
    torch.distributed.all_gather_into_tensor(flat, mine, group=group)
    by_rank = flat.view(ranks, -1)
    return [
        by_rank[:, start : start + size].reshape(-1, *shape[1:])[: shape[0]]
        for shape, start, size in zip(shapes, starts, sizes)
    ]


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
    found = torch._foreach_norm(local, dtype=torch.float64)  # pyright: ignore[reportPrivateImportUsage]
    squares = torch.stack(found) ** 2
    for (mesh, dim), members in parts.items():
        part = squares[members]
        torch.distributed.all_reduce(part, group=mesh.get_group(dim))
        squares[members] = part
    return squares.sqrt()
