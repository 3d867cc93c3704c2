"""Axolotl: a plugin that gives its Trainer the callback. Optional; ``axolotl`` is there where it is imported.

::

    plugins: [lora_watch.axolotl.Plugin]
    lora_watch:
      fail_on: error
"""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, field_validator

from lora_watch.drivers.callback import LoraWatchCallback

if TYPE_CHECKING:
    BasePlugin: Any = object
else:
    from axolotl.integrations.base import BasePlugin


class Arguments(BaseModel):
    """What the plugin adds to Axolotl's configuration."""

    lora_watch: dict[str, Any] | None = None
    """Arguments of ``LoraWatchCallback``."""

    @field_validator("lora_watch")
    @classmethod
    def _are_valid(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        """A wrong name or value is an error when Axolotl reads the YAML, before it loads the model."""
        try:
            LoraWatchCallback(**(given or {}))
        except TypeError as error:
            raise ValueError(f"lora_watch: {error}") from None
        return given


class Plugin(BasePlugin):
    """Monitors the run with a LoraWatchCallback; its arguments stand under ``lora_watch`` in the YAML."""

    def get_input_args(self) -> str:
        return "lora_watch.axolotl.Arguments"

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[LoraWatchCallback]:
        callback = LoraWatchCallback(**dict(cfg.lora_watch or {}))
        callback.attach(trainer)
        return [callback]
