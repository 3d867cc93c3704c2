"""What some training steps change, and the way back: all that is reached from the objects that take part."""

from __future__ import annotations

import gc
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lora_watch.base.generators import kinds_in_use, random_state, set_random_state
from lora_watch.base.text import first_of
from lora_watch.snapshots.walk import Walk

log = logging.getLogger("lora_watch")

TRAINED = ("model", "optimizer")
"""Parts that are copied however large they are; of frozen weights a sum is compared."""


@contextmanager
def put_back(
    parts: Mapping[str, Any], loose: Collection[str] = (), apart: tuple[type, ...] = ()
) -> Iterator[list[str]]:
    """Whatever is trained inside the ``with``, afterwards all is bit for bit as it was, also after an exception.

    Kept and put back in place is what the objects hold, and what those hold: weights, gradients, buffers, optimizer,
    counters, random generators, hooks. Afterwards all of it is compared with what it was: the list that is given
    says, at the end, what differs.

    Args:
        parts: by the names that messages call them. ``model`` and ``optimizer`` come first.
        loose: names of parts in which nothing is refused.
        apart: classes whose objects are left alone.

    Raises:
        ValueError: something cannot be put back, such as an iterator at work. Nothing has been done then.
    """
    walk, random = Walk(apart), random_state(kinds_in_use(parts.get("model")))
    for name, part in parts.items():
        walk.add(part, name, whole=name in TRAINED, loose=name in loose)
    if walk.stuck:
        where, thing = walk.stuck[0]
        raise ValueError(
            f"a sweep cannot put back {where}, a {type(thing).__name__}: begin it anew in __iter__, or give what holds "
            "it a state_dict and load_state_dict"
        )
    left: list[str] = []
    try:
        yield left
    finally:
        walk.put_back()
        gc.collect()  # generators of the sweep that end now may change something once more
        walk.put_back()
        set_random_state(random)
        left += walk.differing()
        if left:
            log.warning("lora_watch: %s", change_message(left))


def change_message(left: Collection[str]) -> str:
    """What is not as it was before a sweep, in a sentence."""
    return f"The sweep has changed {first_of(left, 5)}: build it anew before the training."
