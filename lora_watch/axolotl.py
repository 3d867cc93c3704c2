"""Axolotl: a plugin that gives its Trainer the callback. Optional; ``axolotl`` is there where it is imported.

::

    plugins: [lora_watch.axolotl.Plugin]
    lora_watch:
      fail_on: error
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from lora_watch.trainer.callback import LoraWatchCallback

if TYPE_CHECKING:
    BasePlugin: Any = object
else:
    from axolotl.integrations.base import BasePlugin


class Arguments(BaseModel):
    """What the plugin adds to Axolotl's configuration."""

    lora_watch: dict[str, Any] | None = None
    """Arguments of ``LoraWatchCallback``."""


class Plugin(BasePlugin):
    """Monitors the run with a LoraWatchCallback; its arguments stand under ``lora_watch`` in the YAML."""

    def get_input_args(self) -> str:
        return "lora_watch.axolotl.Arguments"

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[LoraWatchCallback]:
        callback = LoraWatchCallback(**dict(cfg.lora_watch or {}))
        callback.attach(trainer)
        return [callback]
