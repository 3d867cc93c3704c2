"""The plugin against Axolotl's published interface (0.19, ``integrations/base.py``), of which a stand-in is here: the
package itself does not install next to the libraries of this suite."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lora_watch import LoraWatchCallback
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model


class BasePlugin:
    def __init__(self) -> None:
        pass

    def get_input_args(self) -> str | None:
        return None

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        return []


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("axolotl", "axolotl.integrations", "axolotl.integrations.base"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["axolotl.integrations.base"].BasePlugin = BasePlugin  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, "lora_watch.axolotl", raising=False)
    module, _, name = "lora_watch.axolotl.Plugin".rpartition(".")
    yield getattr(importlib.import_module(module), name)()
    sys.modules.pop("lora_watch.axolotl", None)


def test_the_plugin_gives_the_trainer_the_callback_with_the_settings_of_the_yaml(plugin: Any) -> None:
    trainer = build_trainer(lora(tiny_model()), stdlib_blocks(), steps=2, lr=1e-3)
    cfg = SimpleNamespace(lora_watch={"fail_on": "error", "console": False})
    for callback in plugin.add_callbacks_post_trainer(cfg, trainer):
        trainer.add_callback(callback)
    (ours,) = [c for c in trainer.callback_handler.callbacks if isinstance(c, LoraWatchCallback)]
    assert ours.fail_on == "error"
    trainer.train()
    assert ours.monitor is not None
    assert ours.monitor.last is not None
    assert ours.monitor.last.step == 2
    assert plugin.add_callbacks_post_trainer(SimpleNamespace(lora_watch=None), trainer)[0].fail_on is None


def test_the_settings_are_known_to_axolotls_configuration(plugin: Any) -> None:
    module, _, name = plugin.get_input_args().rpartition(".")
    arguments = getattr(importlib.import_module(module), name)
    assert arguments(lora_watch={"fail_on": "error"}).lora_watch == {"fail_on": "error"}
    assert arguments().lora_watch is None
