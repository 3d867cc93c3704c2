"""A method of one object that is wrapped for a while."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

_NOTHING = object()


class Wrapped:
    """A method that is wrapped on the instance alone. ``restore`` puts back whatever the instance had in its place.

    Where somebody has wrapped it once more since then, theirs stays, and ours passes every call on.

    Args:
        owner, name: the object, and the name of its method.
        around: called with the method and a call's arguments, in place of the method.
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
