"""The end of training as the trackers see it, which stand before us and close what we write to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from transformers import Trainer
from transformers.integrations import integration_utils

from lora_watch.trainer.facts import callbacks_of
from lora_watch.trainer.wrapping import Tap

_TRACKERS = tuple(integration_utils.INTEGRATION_TO_CALLBACK.values())


class LastWord(Tap):
    """Has something done before the first of a Trainer's trackers handles ``on_train_end``.

    Nothing in the Trainer's log tells the end: any row may hold any key.
    """

    def attach(self, trainer: Trainer | None, before: Callable[[Any], object]) -> None:
        """From now on call ``before`` with the Trainer's state; what it raises goes no further."""

        def on_train_end(inner: Callable[..., Any], args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            with suppress(Exception):
                before(state)
            return inner(args, state, control, **kwargs)

        known = callbacks_of(trainer)
        trackers = [one for one in known if isinstance(one, _TRACKERS) or hasattr(one, "tb_writer")]
        self._wrap(trackers, "on_train_end", on_train_end)
