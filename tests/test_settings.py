"""Every argument once: all ways in take it from there, and a wrong value is one clear error before training."""

import inspect
import pydoc
from typing import Any

import pytest
import torch

from lora_watch import LoraWatchCallback, Monitor, Severity, watch
from lora_watch.rules import BarelyMoves
from lora_watch.settings import CallbackSettings, MonitorSettings, Settings, all_of, described, variable

SLIPS: list[tuple[dict[str, Any], str]] = [
    ({"every": 0}, r"^every: 0 .*use 1, 2"),
    ({"every": 2.5}, r"^every: 2.5 .*optimizer steps"),
    ({"every": True}, r"^every: True .*optimizer steps"),
    ({"full_every": -1}, r"^full_every: -1 .*use 1"),
    ({"recover": -1}, r"^recover: -1 .*times"),
    ({"recover_memory": 0}, r"^recover_memory: 0 .*above 0"),
    ({"recover_memory": "4 GiB"}, r"^recover_memory: '4 GiB' .*number"),
    ({"console": "often"}, r"^console: 'often' .*True, False"),
    ({"mute": None, "console": 2}, r"^console: 2 .*True, False"),
    ({"sinks": [object()]}, r"^sinks: \[<object.* list of sinks"),
    ({"sinks": LoraWatchCallback}, r"^sinks: .* list of sinks"),
    ({"mute": "LW999"}, r"^mute: no rule is called 'LW999'; `lora-watch rules` lists them$"),
    ({"fail_on": "errors"}, r"^fail_on: 'errors' .*never, warning, error"),
    ({"fail_on": True}, "^fail_on: True .*severity"),
    ({"mute": 102}, "^mute: no rule is called 102; "),
    ({"patience": 1.5}, "^patience: 1.5 .*steps"),
    ({"rules": ["LW102"]}, r"^rules: a list of rules .*\[NormExplosion\(.*not \['LW102'\]$"),
    ({"rules": [BarelyMoves]}, r"^rules: a list of rules .*\[NormExplosion\(.*BarelyMoves"),
]
OF_ONE: list[tuple[Any, dict[str, Any], str]] = [
    (LoraWatchCallback, {"tensorboard": "all"}, r"^tensorboard: 'all' .*True, False"),
    (LoraWatchCallback, {"find_lr": "Only!"}, r"^find_lr: 'Only!' .*only"),
    (LoraWatchCallback, {"report_dir": 3}, r"^report_dir: 3 .*folder"),
    (LoraWatchCallback, {"html": True, "tensorboard": False}, r"^html: True .*tensorboard=False"),
    (Monitor, {"max_steps": -5}, r"^max_steps: -5 .*steps"),
    (Monitor, {"peak_lr": "high"}, r"^peak_lr: 'high' .*number"),
    (Monitor, {"peak_lr": 1e-3}, r"^peak_lr: 0\.001 is not allowed; use a list"),
    (Monitor, {"lr_fraction": 0.5}, r"^lr_fraction: 0.5 .*function"),
    (Monitor, {"config": ["lr"]}, r"^config: .*dict"),
]


def build(of: Any, settings: dict[str, Any]) -> Any:
    return of(torch.nn.Linear(1, 1), **settings) if of is Monitor else of(**settings)


@pytest.mark.parametrize(
    ("of", "slip", "says"), [*OF_ONE, *((of, *each) for of in (LoraWatchCallback, Monitor) for each in SLIPS)]
)
def test_a_wrong_value_is_an_error_that_names_it_and_what_is_allowed(of: Any, slip: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        build(of, slip)


def test_a_wrong_name_is_an_error_that_names_the_nearest() -> None:
    says = r"^(LoraWatchCallback|Monitor) has no setting 'fail_onn' \(is 'fail_on' meant\?\)"
    for of in (LoraWatchCallback, Monitor, lambda **settings: watch(None, **settings)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=says):
            build(of, {"fail_onn": "error"})
    with pytest.raises(TypeError, match="LoraWatchCallback: too many positional"):
        LoraWatchCallback("error")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HTML", "off", "'off' .*use one of: 1, 0$"),
        ("RECOVER", "twice", "'twice' .*times"),
        ("FAIL_ON", "eror", "'eror' .*never, warning, error"),
        ("FAIL_ON", "LW2O2=never", r".*'LW2O2'.* LW202 \(loss-divergence\)"),
        ("PATIENCE", "soon", "'soon' .*steps"),
        ("PATIENCE", "-1", "'-1' .*steps"),
        ("MUTE", "LW203,lost-spike", r".*'lost-spike'.* LW203 \(loss-spike\)"),
        ("FAIL_ONN", "error", r".*is 'LORA_WATCH_FAIL_ON' meant"),
        ("FIND_LR", "1", "there is no such variable; .*LORA_WATCH_FAIL_ON"),
    ],
)
def test_a_wrong_variable_is_an_error_that_names_it(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LORA_WATCH_{name}", value)
    for of in (LoraWatchCallback, *[Monitor] * (name != "HTML")):
        with pytest.raises(ValueError, match=f"^LORA_WATCH_{name}: {says}"):
            build(of, {})


def test_a_variable_that_may_be_anothers_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setenv("LORA_WATCH_SERVICE_HOST", "10.0.0.1")  # Kubernetes, of a service named lora-watch
    for _ in range(2):
        LoraWatchCallback()
    assert caplog.text.count("SERVICE_HOST") == 1


@pytest.mark.parametrize(("of", "kind"), [(LoraWatchCallback, CallbackSettings), (Monitor, MonitorSettings)])
def test_help_shows_every_argument_with_its_doc(of: Any, kind: type[Settings]) -> None:
    shown = " ".join(pydoc.render_doc(of, renderer=pydoc.plaintext).replace("|", " ").split())
    assert list(inspect.signature(of).parameters) == list(inspect.signature(kind).parameters)
    assert [name for name in all_of(kind) if f"{name}: {described(kind, name)[:60]}" not in shown] == []


def test_each_variable_gives_its_setting_and_an_argument_counts_more(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"fail_on": "error", "recover": "2", "patience": "5", "mute": "LW203", "html": "1"}
    assert {name for name, each in all_of(CallbackSettings).items() if each.metadata["variable"]} == values.keys()
    for name, value in values.items():
        monkeypatch.setenv(variable(name), value)
    settings, given = CallbackSettings(), CallbackSettings(recover=0, patience=1, html=False)
    assert [settings.value(name) for name in ("recover", "patience", "html")] == [2, 5, True]
    assert [given.value(name) for name in ("recover", "patience", "html")] == [0, 1, False]


def test_recover_lets_errors_end_a_run_unless_fail_on_says_otherwise() -> None:
    assert Settings(recover=2).policy().default is Severity.ERROR
    assert Settings(recover=1, fail_on="never").policy().default is None
    assert Settings().policy().default is None


def test_a_text_that_means_a_value_is_that_value() -> None:
    settings = LoraWatchCallback(every="4", console="0", html="0", tensorboard=False).settings  # type: ignore[arg-type]
    assert (settings.every, settings.console, settings.value("html")) == (4, False, False)
