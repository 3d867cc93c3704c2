"""Methods of single objects that are wrapped for a while."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable
from typing import Any

_NOTHING = object()


class Wrapped:
    """A method that is wrapped on the instance alone. ``restore`` puts back whatever the instance had in its place.

    Where somebody has wrapped it once more since then, theirs stays, and ours passes every call on. ``around`` is
    called with the method and a call's arguments.
    """

    def __init__(self, owner: Any, name: str, around: Callable[..., Any]):
        inner = getattr(owner, name)
        self._owner, self._name = weakref.ref(owner), name
        self._before = vars(owner).get(name, _NOTHING)
        self._over = False

        @functools.wraps(inner)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return inner(*args, **kwargs) if self._over else around(inner, *args, **kwargs)

        self._wrapper = wrapper
        setattr(owner, name, wrapper)

    def restore(self) -> None:
        self._over = True
        owner = self._owner()
        if owner is None or vars(owner).get(self._name) is not self._wrapper:
            return
        if self._before is _NOTHING:
            delattr(owner, self._name)
        else:
            setattr(owner, self._name, self._before)


class Tap:
    """Listens at methods of a Trainer or of its parts, which are wrapped from ``_wrap`` to ``close``.

    What stands around a method is in no guard of ours: it calls what is, and does nothing else that could fail.
    """

    def __init__(self) -> None:
        self._of: weakref.ref[Any] | None = None
        self._wrapped: list[Wrapped] = []

    def _follow(self, thing: Any) -> None:
        """``thing``, which is not kept alive for that, is ``_followed`` until ``detach``."""
        self.detach()
        self._of = weakref.ref(thing) if thing is not None else None

    @property
    def _followed(self) -> Any:
        return self._of() if self._of is not None else None

    def _wrap(self, methods: Iterable[tuple[Any, str, Callable[..., Any]]]) -> None:
        """Each as ``Wrapped`` takes it, in the place of those that are wrapped now."""
        self.close()
        self._wrapped = [Wrapped(*method) for method in methods]

    def close(self) -> None:
        """Put back what was wrapped."""
        for wrapped in self._wrapped:
            wrapped.restore()
        self._wrapped = []

    def detach(self) -> None:
        """Nothing is left in the Trainer."""
        self.close()
        self._of = None
