"""What TensorBoard's own start pays for the tab, and that the tab cannot end it."""

import subprocess
import sys
from importlib.metadata import entry_points

from lora_watch.tensorboard_plugin.plugin import LoraWatchLoader


def test_tensorboard_finds_the_tab_by_itself() -> None:
    (found,) = (point for point in entry_points(group="tensorboard_plugins") if point.name == "lora_watch")
    assert found.load() is LoraWatchLoader


def test_loading_the_tab_imports_nothing_heavy() -> None:
    code = """
import sys
import tensorboard.default  # what TensorBoard has imported by then
before = set(sys.modules)
from lora_watch.tensorboard_plugin.plugin import LoraWatchLoader
new = {name.partition(".")[0] for name in set(sys.modules) - before}
assert new <= {"lora_watch"} | set(sys.stdlib_module_names), new
LoraWatchLoader().load(__import__("types").SimpleNamespace(logdir=""))
import lora_watch.sinks.numbers  # of which a route uses the quantiles
heavy = {"torch", "transformers", "peft", "accelerate", "pandas", "scipy", "rich", "typer"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
