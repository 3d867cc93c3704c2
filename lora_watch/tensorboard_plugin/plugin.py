"""What TensorBoard imports at each of its starts, unguarded. An error after that stays inside the tab."""

from typing import Any

from tensorboard.plugins import base_plugin


class LoraWatchLoader(base_plugin.TBLoader):
    def load(self, context: Any) -> Any:
        from lora_watch.tensorboard_plugin.routes import LoraWatchPlugin

        return LoraWatchPlugin(context)
