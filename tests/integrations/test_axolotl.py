"""The plugin in Axolotl's own ``PluginManager`` where the package is installed (its dependencies do not install next to
the libraries of this suite), else in a stand-in for it: ``integrations/base.py`` of 0.19."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lora_watch import LoraWatchCallback
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

pytest.importorskip("pydantic")
NAME = "lora_watch.axolotl.Plugin"
INSTALLED = importlib.util.find_spec("axolotl") is not None


class BasePlugin:
    def get_input_args(self) -> str | None:
        return None

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        return []


class PluginManager:
    def __init__(self) -> None:
        self.plugins: dict[str, Any] = {}

    def register(self, plugin_name: str) -> None:
        module, _, name = plugin_name.rpartition(".")
        self.plugins[plugin_name] = getattr(importlib.import_module(module), name)()

    def get_input_args(self) -> list[str]:
        return [args for plugin in self.plugins.values() if (args := plugin.get_input_args()) is not None]

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        return [c for plugin in self.plugins.values() for c in plugin.add_callbacks_post_trainer(cfg, trainer)]


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """With our plugin, as Axolotl registers what stands under ``plugins`` in the YAML."""
    if INSTALLED:
        made = importlib.import_module("axolotl.integrations.base").PluginManager()
    else:
        for name in ("axolotl", "axolotl.integrations", "axolotl.integrations.base"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        sys.modules["axolotl.integrations.base"].BasePlugin = BasePlugin  # type: ignore[attr-defined]
        monkeypatch.delitem(sys.modules, "lora_watch.axolotl", raising=False)
        made = PluginManager()
    made.register(NAME)
    yield made
    made.plugins.clear()
    sys.modules.pop("lora_watch.axolotl", None)


def test_the_plugin_gives_the_trainer_the_callback_with_the_settings_of_the_yaml(manager: Any) -> None:
    trainer = build_trainer(lora(tiny_model()), stdlib_blocks(), steps=2, lr=1e-3)
    cfg = SimpleNamespace(lora_watch={"fail_on": "error", "console": False})
    for callback in manager.add_callbacks_post_trainer(cfg, trainer):
        trainer.add_callback(callback)
    (ours,) = [c for c in trainer.callback_handler.callbacks if isinstance(c, LoraWatchCallback)]
    assert ours.settings.fail_on == "error"
    trainer.train()
    assert ours.monitor.last.step == 2
    assert manager.add_callbacks_post_trainer(SimpleNamespace(lora_watch=None), trainer)[0].settings.fail_on is None


def test_the_settings_are_known_to_axolotls_configuration(manager: Any) -> None:
    (name,) = manager.get_input_args()
    module, _, name = name.rpartition(".")
    arguments = getattr(importlib.import_module(module), name)
    assert arguments(lora_watch={"fail_on": "error"}).lora_watch == {"fail_on": "error"}
    assert arguments().lora_watch is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fail_onn": "error"}, ["'fail_onn'", "'fail_on'", "patience", "every", "html"]),
        ({"fail_on": "error", "zzz": 1}, ["'zzz'", "fail_on"]),
        ({"fail_on": "eror"}, ["'eror'", "warning"]),
        (True, ["dictionary"]),
    ],
)
def test_a_wrong_argument_is_an_error_when_the_yaml_is_read(manager: Any, given: Any, said: list[str]) -> None:
    module, _, name = manager.get_input_args()[0].rpartition(".")
    base = getattr(importlib.import_module(module), name)
    merged = type("AxolotlInputConfig", (base,), {})  # as Axolotl's merge_input_args makes it
    with pytest.raises(ValueError, match="lora_watch") as caught:
        merged(lora_watch=given)
    assert [word for word in said if word not in str(caught.value)] == []


@pytest.mark.skipif(not INSTALLED, reason="axolotl is not installed")
def test_axolotls_own_schema_takes_them(manager: Any) -> None:
    _, schema = importlib.import_module("axolotl.integrations.config").merge_input_args()
    assert "lora_watch" in schema.model_fields
