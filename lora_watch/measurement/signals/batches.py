"""What a batch held, as a hash: to find the same one again in the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def hash_batch(into: Any, batch: Any) -> None:
    """Add ``batch`` to a hash of ``hashlib``: tensors by dtype, shape and bytes, mappings by their sorted names.

    Waits for tensors that are on an accelerator.
    """
    if isinstance(batch, Tensor):
        into.update(f"{batch.dtype}{tuple(batch.shape)}".encode())
        into.update(batch.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(batch, Mapping):
        for name in sorted(batch, key=str):
            into.update(str(name).encode())
            hash_batch(into, batch[name])
    elif isinstance(batch, (list, tuple)):
        into.update(f"{len(batch)} items".encode())
        for item in batch:
            hash_batch(into, item)
    else:
        into.update(repr(batch).encode())
