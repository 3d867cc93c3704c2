"""Methods of single objects that are wrapped for a while."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

_NOTHING = object()


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> Callable[[], None]:
    """Wrap a method on the instance ``owner`` alone. Returns what puts back whatever the instance had in its place.

    Where somebody has wrapped it once more since then, theirs stays, and ours passes every call on. ``around`` is
    called with the method and a call's arguments.
    """
    inner, before, over = getattr(owner, name), vars(owner).get(name, _NOTHING), False
    reference = weakref.ref(owner)

    @functools.wraps(inner)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs) if over else around(inner, *args, **kwargs)

    def restore() -> None:
        nonlocal over
        over, owner = True, reference()
        if owner is None or vars(owner).get(name) is not wrapper:
            return
        if before is _NOTHING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)

    setattr(owner, name, wrapper)
    return restore


class Tap:
    """Listens at methods of a Trainer or of its parts, which are wrapped from ``_wrap`` to ``close``. What stands
    around a method is in no guard of ours: it calls what is, and does nothing else that could fail."""

    def __init__(self) -> None:
        self.followed: Any = None
        """Whose methods they are, until ``detach``."""
        self._wrapped = ExitStack()

    def _follow(self, thing: Any) -> None:
        self.detach()
        self.followed = thing

    def _wrap(self, methods: Iterable[tuple[Any, str, Callable[..., Any]]]) -> None:
        """Each as ``wrap`` takes it, in the place of those that are wrapped now."""
        self.close()
        for method in methods:
            self._wrapped.callback(wrap(*method))

    def close(self) -> None:
        """Put back what was wrapped."""
        self._wrapped.close()

    def detach(self) -> None:
        """Nothing is left in the Trainer."""
        self.close()
        self.followed = None
