"""Settings in files are judged as the callback judges them in a run, and files that are no settings are named."""

import errno
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification, TrainingArguments

from lora_watch import LoraWatchCallback, Monitor
from lora_watch.base.alerts import Severity
from lora_watch.demo.models import TINY_LLAMA
from lora_watch.tune.config_files import DEFAULTS_OF_TRL, OF_TRL, read_settings
from lora_watch.tune.preflight import preflight
from tests.support import lora, lora_watch, tiny_model, train


def written(path: Path, **settings: Any) -> Path:
    path.write_text(json.dumps(settings))
    return path


# -- the same as in a run ----------------------------------------------------------------------------------------------
USUAL: dict[str, Any] = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}
SETTINGS: list[tuple[dict[str, Any], float, list[str]]] = [
    ({"r": 8, "lora_alpha": 16}, 1e-3, []),
    ({"r": 8, "lora_alpha": 64}, 5e-3, []),
    ({"r": 8, "lora_alpha": 16}, 5e-2, ["LW401"]),
    ({"r": 64, "lora_alpha": 16}, 1e-3, []),
    ({"r": 2, "lora_alpha": 16, "use_rslora": True}, 1e-4, []),
    ({"r": 8, "lora_alpha": 8, "rank_pattern": {"v_proj": 128}}, 1e-3, []),
]


@pytest.mark.parametrize(("settings", "lr", "rules"), SETTINGS)
def test_it_says_what_the_callback_says_in_a_run(settings: dict[str, Any], lr: float, rules: list[str]) -> None:
    config = {"target_modules": ["q_proj", "v_proj"], **settings}
    judged = preflight(config, {"learning_rate": lr}, model=TINY_LLAMA)
    before = [(a.rule, a.severity, a.settings) for a in judged.findings if a.rule != "LW104"]  # which a run says later
    assert [rule for rule, *_ in before] == rules
    callback = LoraWatchCallback(console=False)
    given = {"r": config["r"], "alpha": config["lora_alpha"], "targets": config["target_modules"]}
    rest = {name: value for name, value in settings.items() if name not in ("r", "lora_alpha")}
    train(lora(tiny_model(), **given, **rest), steps=1, lr=lr, callbacks=[callback])
    assert [(a.rule, a.severity, a.settings) for a in callback.monitor.alerts if a.step == 0] == before
    judged = preflight(settings, {"learning_rate": lr})
    assert [a.rule for a in judged.findings] == ["LW401"] * (settings["r"] == 2), "rsLoRA alone shows without a model"
    assert any("No model" in note for note in judged.notes)


def test_a_target_that_the_model_lacks_is_the_finding_of_a_run() -> None:
    for targets, found in ((["q_proj", "up_prj"], ["LW310"]), (["q_proj", "embed_tokens", "lm_head"], [])):
        judged = preflight({"r": 8, "lora_alpha": 16, "target_modules": targets}, model=TINY_LLAMA)
        assert [alert.rule for alert in judged.findings] == found
        assert ("'up_prj' (is 'up_proj' meant?)" in str(judged.findings)) == bool(found)


def test_a_classifiers_run_and_its_preflight_name_one_rate() -> None:
    """Their medians lie on two sides of where a rate is rounded up if they are not of the same layers."""
    settings = {**USUAL, "task_type": "SEQ_CLS"}
    (before,) = preflight(settings, {"learning_rate": 0.1, "max_steps": 60}, model=TINY_LLAMA).findings
    model = lora(AutoModelForSequenceClassification.from_pretrained(TINY_LLAMA, num_labels=2), task_type="SEQ_CLS")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    known = {"lora": {"default": settings}}
    with Monitor(model, optimizer, max_steps=60, console=False, config=known) as monitor:
        pass
    (alert,) = monitor.alerts
    assert (alert.rule, alert.settings) == (before.rule, before.settings) == ("LW401", {"learning_rate": 0.002})


def test_a_task_that_is_not_given_is_named() -> None:
    for model, note in ((TINY_LLAMA, "CAUSAL_LM was assumed, by the class"), (None, "as without a new head")):
        assert note in preflight(USUAL, model=model).notes[0]
    assert "task_type" not in str(preflight({**USUAL, "task_type": "SEQ_CLS"}).notes)
    with pytest.raises(ValueError, match=r"'SEQ_CLASS' \(is 'SEQ_CLS' meant"):
        preflight({**USUAL, "task_type": "SEQ_CLASS"})


def test_a_loaded_model_is_judged_as_its_folder() -> None:
    judged = preflight(USUAL, {"learning_rate": 0.05, "max_steps": 7}, model=tiny_model())
    assert [alert.rule for alert in judged.findings] == ["LW401"]
    assert (len(judged.run.adapters), judged.run.max_steps, judged.run.learning_rate) == (28, 7, 0.05)
    unknown = preflight(USUAL, {"learning_rate": 0.05, "optim": "sgd"}, model=tiny_model())
    assert (unknown.findings, "Steps of sgd follow" in unknown.notes[-1]) == ((), True)


@pytest.mark.parametrize(
    ("arguments", "severity", "advised"),
    [
        ({"warmup_steps": 500, "max_steps": 100}, Severity.WARNING, {"warmup_steps": 10}),
        ({"warmup_steps": 60, "max_steps": 100}, None, {}),
        ({"warmup_steps": 0.6}, None, {}),  # transformers 5
        ({"warmup_steps": 500, "max_steps": 100, "lr_scheduler_type": "constant"}, None, {}),
        ({"warmup_steps": 500}, None, {}),  # of how many?
    ],
    ids=str,
)
def test_a_warm_up_that_is_too_long(
    arguments: dict[str, Any], severity: Severity | None, advised: dict[str, float], tmp_path: Path
) -> None:
    given = {"r": 8, "lora_alpha": 16, "learning_rate": 1e-3, **arguments}
    judged = preflight(given, given)
    expected = [("LW409", severity, advised)] if severity else []
    assert [(a.rule, a.severity, a.settings) for a in judged.findings] == expected
    assert any("LW409" in note for note in judged.notes) == (arguments == {"warmup_steps": 500})
    assert lora_watch("preflight", written(tmp_path / "all.json", **given)).exit_code == (severity is Severity.WARNING)


def test_a_rate_that_is_far_too_low_is_named_beside_a_warm_up_that_is_too_long() -> None:
    given = {**USUAL, "learning_rate": 2e-5}
    judged = preflight(given, {**given, "warmup_steps": 500, "max_steps": 30}, model=TINY_LLAMA)
    assert [(a.rule, sorted(a.settings)) for a in judged.findings] == [
        ("LW409", []),
        ("LW104", ["learning_rate", "warmup_steps"]),
    ]
    assert judged.findings[1].causes == ["learning rate 2e-05 is too low for LoRA"], "the prescription has the numbers"
    assert not any("Preflight warns from" in note for note in judged.notes)
    low = preflight({**USUAL, "r": 16, "lora_alpha": 32}, {"learning_rate": 2e-4, "max_steps": 200}, model=TINY_LLAMA)
    assert low.findings == ()
    assert "Preflight warns from 20 times too low (LW104). A run measures, and may sooner." in low.notes[-1]


def test_preferences_are_judged_by_rates_of_their_own_and_a_policy_by_none() -> None:
    known = [({}, 0.005), *(({"loss_type": loss}, 0.0005) for loss in (["sigmoid", "sft"], "kto"))]
    for more, rate in (*known, *(({name: "dapo"}, None) for name in ("beta", "loss_type", "num_generations"))):
        judged = preflight(USUAL, {"learning_rate": 0.05, "max_steps": 60, **more}, model=TINY_LLAMA)
        assert [alert.settings for alert in judged.findings] == ([{"learning_rate": rate}] if rate else [])
        assert ("the learning rate was not judged" in str(judged.notes)) == (rate is None)


# -- advice ------------------------------------------------------------------------------------------------------------
RATES = (None, 1e-5, 3e-4, 2e-3, 2e-2, 0.5)
GRID = [
    *[(None, *each) for each in itertools.product((1, 8, 64, 256), (1, 16, 64, 256, 1024), RATES, (False, True))],
    *[(TINY_LLAMA, *each) for each in itertools.product((1, 8), (64, 1024), RATES[2:5], (False, True))],
]


def test_settings_as_advised_need_no_further_advice() -> None:
    left = []
    for model, r, alpha, lr, use_rslora in GRID:
        settings = {"r": r, "lora_alpha": alpha, "use_rslora": use_rslora, "target_modules": "all-linear"}
        arguments = {"learning_rate": lr}
        findings = preflight(settings, arguments, model=model).findings
        if advised := {name: value for alert in findings for name, value in alert.settings.items()}:
            settings |= {name: value for name, value in advised.items() if name in settings}
            arguments |= {name: value for name, value in advised.items() if name in arguments}
            again = preflight(settings, arguments, model=model)
            if again.exit_code(Severity.WARNING) or any(alert.settings for alert in again.findings):
                left.append((model, r, alpha, lr, use_rslora, advised, again.findings))
    assert left == []


def test_a_far_too_high_scale_is_told_with_the_model_and_the_advice_trains() -> None:
    settings = {"r": 8, "lora_alpha": 256, "target_modules": "all-linear"}
    assert preflight(settings, {"learning_rate": 2e-2}).exit_code(Severity.WARNING) == 0
    assert preflight(settings, {"learning_rate": 2e-2}, model=TINY_LLAMA).exit_code(Severity.WARNING) == 1
    advised = preflight(settings, {"learning_rate": 2e-2}, model=TINY_LLAMA).findings[0].settings
    callback = LoraWatchCallback(console=False)
    adapted = lora(tiny_model(), r=8, alpha=advised["lora_alpha"], targets="all-linear")
    trainer = train(adapted, steps=30, lr=advised["learning_rate"], callbacks=[callback], logging_steps=1)
    assert [alert.rule for alert in callback.monitor.alerts if alert.severity >= Severity.WARNING] == []
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]


# -- files -------------------------------------------------------------------------------------------------------------
def test_what_peft_and_the_trainer_write(tmp_path: Path) -> None:
    LoraConfig(r=4, lora_alpha=32, use_rslora=True, target_modules=["q_proj"]).save_pretrained(tmp_path)
    arguments = TrainingArguments(str(tmp_path), learning_rate=3e-4, max_steps=50)
    (tmp_path / "training_args.json").write_text(arguments.to_json_string())
    shown = lora_watch("preflight", tmp_path)
    assert shown.exit_code == 1
    assert "(LW401)" in shown.output
    assert "r 4, lora_alpha 32, scale 16 (alpha/√r), learning rate 0.0003 (" in shown.output
    assert "training_args.json): 1 finding" in shown.output
    assert all(lora_watch("preflight", tmp_path, "--fail-on", least).exit_code == 0 for least in ("error", "never"))


def test_trls_yaml(tmp_path: Path) -> None:
    file = tmp_path / "sft.yaml"
    file.write_text(
        "model_name_or_path: nobody/no-such-model\ndataset_name: some/texts\nmax_length: 512\npacking: true\n"
        "use_peft: true\nlora_r: 64\nlora_alpha: 128\nuse_rslora: true\nlora_target_modules: all-linear\n"
        "learning_rate: 2e-4\nbf16: true\nloss_type: [sigmoid]\n"
    )
    read = read_settings([file])
    assert read.lora == {"r": 64, "lora_alpha": 128, "use_rslora": True, "target_modules": "all-linear"}
    assert read.arguments["loss_type"] == ["sigmoid"]
    assert [alert.rule for alert in preflight(read.lora, read.arguments).findings] == ["LW401"]
    file.write_text("use_peft: true\nlora_r: 32\nlora_alpha:\nlearning_rate: 2e-4")
    assert read_settings([file]).lora == {"r": 32, "lora_alpha": 32}
    file.write_text("use_peft: true\nlearning_rate: 2e-4")
    assert read_settings([file]).lora == DEFAULTS_OF_TRL
    file.write_text("lora_r: 32\nlearning_rate: 2e-4")
    with pytest.raises(ValueError, match="without use_peft: true TRL trains the whole model"):
        read_settings([file])
    (base := tmp_path / "base.yaml").write_text("use_peft: true\nlora_r: 8")
    assert read_settings([base, file]).lora["r"] == 32, "what a later file overrides has it from the earlier one"


def test_names_and_defaults_of_trl_are_trls() -> None:
    config: Any = pytest.importorskip("trl").ModelConfig()
    assert set(OF_TRL) <= vars(config).keys()
    assert {"r": config.lora_r, "lora_alpha": config.lora_alpha} == DEFAULTS_OF_TRL


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("lora_alhpa", "lora_alpha"), ("lr", "r"), ("leraning_rate", "learning_rate"), ("lora_rank", "lora_r")],
)
def test_a_key_that_nobody_knows_is_an_error_that_names_the_nearest(key: str, nearest: str, tmp_path: Path) -> None:
    shown = lora_watch("preflight", written(tmp_path / "a.json", **{"r": 8, "learning_rate": 2e-4, key: 256}))
    assert shown.exit_code == 2
    assert f"{key!r}: the nearest is {nearest!r}" in shown.stderr
    assert "a.json" in shown.stderr


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", '{"bf16": true}', "holds neither"),
        ("a.json", '{"r": 0}', "r is 0"),
        ("a.json", '{"r": 8, "peft_type": "ADALORA"}', "ADALORA is not LORA"),
        ("a.json", '{"r": 8, "lora_alpha": "many"}', "lora_alpha is 'many'"),
        ("a.json", '{"r": 8, "learning_rate": NaN}', "learning_rate is nan"),
        ("a.json", '{"lora_alpha": 8}', "r of adapter_config.json"),
        ("a.json", '{"r": 8, "warmup_ratio": 5}', "warmup_ratio is 5"),
        ("a.json", '{"r": 8, "max_steps": 30.5}', "max_steps is 30.5: a whole number"),
        ("a.json", '{"r": 8, "optim": "adamw_tor"}', "optim is 'adamw_tor' (is 'adamw_torch' meant?)"),
        ("a.json", '{"r": 8, "lr_scheduler_type": "cosin"}', "(is 'cosine' meant?)"),
        ("a.yaml", "{r: 8, use_rslora: yess}", "use_rslora is 'yess'"),
        ("a.yaml", "a: [", "not YAML"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "not YAML"),
        ("a.json", None, os.strerror(errno.ENOENT)),
    ],
)
def test_what_is_no_setting_is_named_in_one_line(name: str, content: str | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    shown = lora_watch("preflight", tmp_path / name)
    assert shown.exit_code == 2
    assert says in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_the_model_that_the_settings_name_is_read(tmp_path: Path) -> None:
    text = "model_name_or_path: {}\nuse_peft: true\nlora_r: 8\nlora_alpha: 256\nlearning_rate: 2e-2\n"
    shutil.copytree(TINY_LLAMA, tmp_path / "model")
    file = tmp_path / "sft.yaml"
    there = {TINY_LLAMA: True, tmp_path / "model": True, "nobody/no-such-model": False, "/no/such/model": False}
    for name, is_read in there.items():
        file.write_text(text.format(name))
        shown = lora_watch("preflight", file)
        assert shown.exit_code == is_read  # settings alone are an INFO
        assert f"{name}, {'and it is read' if is_read else 'which is no'}" in shown.output.splitlines()[0]
        assert ("No model" in shown.output) is not is_read
    (empty := tmp_path / "model" / "config.json").write_text("{}")
    assert [lora_watch("preflight", file, *each).exit_code for each in (("--model", empty), ("--steps", 0))] == [2, 2]
