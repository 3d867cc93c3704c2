"""Parts of an adapter become whole again, or it is said what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lora_watch.adapters.sharding.parts import ShardLocation
from lora_watch.snapshots.parts import read_parts, write_part
from lora_watch.snapshots.weights import StoredError

A, B, SHARED = torch.arange(15.0).view(5, 3), torch.arange(8.0).view(2, 4), torch.ones(3)


def write(folder: Path, rank: int, step: int = 8, cut: int = 3) -> None:
    """A cut along its rows, as FSDP2 does it; B's numbers dealt out in a row, as ZeRO-3 does; the last on rank 0."""
    rows, numbers = (A[:cut], A[cut:])[rank], B.flatten()[4 * rank : 4 * rank + 4]
    tensors = {"a": rows.contiguous(), "b": numbers.contiguous(), **({} if rank else {"shared": SHARED})}
    places = {
        "a": ShardLocation((5, 3), (5, 3), (3 * rank, 0)),
        "b": ShardLocation((2, 4), (8,), (4 * rank,)),
        "shared": ShardLocation((3,), (3,), (0,)),
    }
    write_part(folder, tensors, places, step, rank, 2)


def test_parts_become_whole(tmp_path: Path) -> None:
    write(tmp_path, 0)
    write(tmp_path, 1)
    whole = read_parts(tmp_path)
    assert whole.keys() == {"a", "b", "shared"}
    assert all(torch.equal(whole[name], tensor) for name, tensor in {"a": A, "b": B, "shared": SHARED}.items())


def lost(folder: Path) -> None:
    (folder / "part-00001-of-00002.safetensors").unlink()


def cut_off(folder: Path) -> None:
    file = folder / "part-00001-of-00002.safetensors"
    file.write_bytes(file.read_bytes()[:-4])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda folder: [file.unlink() for file in folder.iterdir()], "no parts"),
    "one is missing": (lost, "1 of 2 parts"),
    "of another step": (lambda folder: write(folder, 1, step=16), "several steps"),
    "a hole": (lambda folder: write(folder, 1, cut=4), " a .*12 of 15 "),
    "a broken file": (cut_off, "readable safetensors"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_does_not_become_whole_is_said(damage: str, tmp_path: Path) -> None:
    write(tmp_path, 0)
    write(tmp_path, 1)
    harm, message = DAMAGE[damage]
    harm(tmp_path)
    with pytest.raises(StoredError, match=message):
        read_parts(tmp_path)
