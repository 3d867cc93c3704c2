"""What ranks tell each other without a collective, in the store that their process group was made with."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch


def default_store() -> Any:
    """The store of the default process group; None where there is no group, or none that has one (MPI)."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return None
    return torch.distributed.distributed_c10d._get_default_store()


def prefix() -> str:
    """Of all keys of ours: those of the attempt before an elastic restart are not taken for this one's."""
    return f"lora_watch/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"


class Channel:
    """What the first rank says to the others, in words they wait for. Nobody waits on an accelerator. Made on every
    rank that is to hear it, in the same order on all."""

    made = 0

    def __init__(self) -> None:
        self._store, self._prefix = default_store(), f"{prefix()}/channel/{Channel.made}"
        Channel.made += 1

    @property
    def open(self) -> bool:
        """There is a way to the other ranks."""
        return self._store is not None

    def say(self, place: str, word: Any) -> None:
        self._store.set(self._key(place), json.dumps(word))

    def hear(self, place: str, seconds: float) -> Any:
        """What was said at ``place``. Raises RuntimeError if nothing is within ``seconds``."""
        key = self._key(place)
        self._store.wait([key], timedelta(seconds=seconds))
        return json.loads(self._store.get(key))

    def said(self, place: str) -> bool:
        """Something was said at ``place``, as far as the store is still there."""
        try:
            return self._store.check([self._key(place)])
        except RuntimeError:
            return False

    def forget(self, place: str) -> None:
        """Everybody has heard what was said there."""
        with suppress(Exception):  # some stores cannot
            self._store.delete_key(self._key(place))

    def arrive(self, place: str) -> int:
        """How many have come to ``place``, this rank counted."""
        return self._store.add(self._key(place), 1)

    def _key(self, place: str) -> str:
        return f"{self._prefix}/{place}"
