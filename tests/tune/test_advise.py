"""The advice is what a real run then does: layers, scales and first steps are PEFT's, and the code runs as it is."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, WhisperConfig

from lora_watch import LoraWatchCallback, Monitor, advise, find_adapters
from lora_watch.adapters.find import describe
from lora_watch.base.alerts import Severity
from lora_watch.demo.models import TINY_LLAMA
from lora_watch.rules.forecast import first_step_of
from lora_watch.tune.advise import TASKS
from lora_watch.tune.base_model import planned_adapters, read_model
from lora_watch.tune.preflight import planned_run, preflight
from tests.support import lora, lora_watch, tiny_model, train


def config_of(code: str) -> Any:
    made: dict[str, Any] = {}
    exec(code, made)
    return made["config"]


# -- what it says is what happens --------------------------------------------------------------------------------------
@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_the_code_runs_and_makes_what_was_said(task: str) -> None:
    advised = advise(TINY_LLAMA, task)
    model = get_peft_model(tiny_model(), config_of(advised.code()))
    assert model.get_nb_trainable_parameters()[0] == advised.parameters
    assert [a.scale for a in find_adapters(model)] == pytest.approx([advised.scale] * 28)


@pytest.mark.parametrize("steps", [None, 10, 400, 5000])
@pytest.mark.parametrize("task", [None, *(task.name for task in TASKS)])
def test_preflight_goes_by_the_same_rates(task: str | None, steps: int | None) -> None:
    advised = advise(TINY_LLAMA, task, steps=steps)
    assert advised.learning_rate is not None

    def judged(rate: float) -> Any:
        return preflight(advised.lora, {"learning_rate": rate}, model=TINY_LLAMA, max_steps=steps)

    right = judged(advised.learning_rate)
    assert (right.findings, right.notes) == ((), ())
    for rate, rule in ((advised.learning_rate / 30, "LW104"), (0.5, "LW401")):
        (alert,) = judged(rate).findings
        assert (alert.rule, alert.severity) == (rule, Severity.WARNING)
        assert alert.settings == {"learning_rate": advised.learning_rate}
        assert str(advised.rates) in str(alert)
    for rate in (advised.rates.low / 1.5, advised.rates.high * 1.1):
        doubtful = judged(rate)
        if (task, steps, rate > advised.learning_rate) == ("classification", 10, True):
            assert [alert.settings for alert in doubtful.findings] == [{"learning_rate": advised.learning_rate}]
        else:
            assert doubtful.findings == ()
            assert f"{advised.learning_rate:g}" in doubtful.notes[0]


def test_a_rate_that_a_run_calls_wasted_is_named_before_it() -> None:
    settings = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}
    (before,) = preflight(settings, {"learning_rate": 2e-4}, model=TINY_LLAMA).findings
    callback = LoraWatchCallback(console=False)
    train(lora(tiny_model(), r=8, alpha=16, targets="all-linear"), steps=20, lr=2e-4, callbacks=[callback])
    assert [alert.rule for alert in callback.monitor.alerts] == [before.rule] == ["LW104"]


def test_the_first_step_foretold_is_the_one_that_comes() -> None:
    foretold = first_step_of(planned_run(advise(TINY_LLAMA).lora, read_model(TINY_LLAMA), {"learning_rate": 1e-3}))
    model = lora(tiny_model(), r=8, alpha=8)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with Monitor(model, optimizer) as monitor:
        ids = torch.arange(64).reshape(2, 32)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        monitor.step()
    measured = float(torch.tensor(monitor.last.metrics["relative_norm"].values).median())
    assert foretold == pytest.approx(4 * measured, rel=0.1)


def test_the_advised_settings_train_without_an_alert() -> None:
    advised = advise(TINY_LLAMA, "domain-adaptation")
    assert advised.learning_rate is not None
    model = get_peft_model(tiny_model(), config_of(advised.code()))
    callback = LoraWatchCallback(fail_on="warning", console=False)
    trainer = train(model, steps=20, lr=advised.learning_rate, callbacks=[callback], logging_steps=1)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] - 0.5


# -- the model ---------------------------------------------------------------------------------------------------------
def gpt2() -> Any:
    return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=99))


def bert() -> Any:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    return BertModel(BertConfig(num_hidden_layers=3, vocab_size=99, **sizes), add_pooling_layer=False)


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
@pytest.mark.parametrize(
    ("made", "settings"),
    [
        (tiny_model, {"target_modules": "all-linear"}),
        (tiny_model, {}),  # PEFT's own choice
        (tiny_model, {"target_modules": ["q_proj", "mlp.up_proj"], "exclude_modules": ["layers.1.self_attn.q_proj"]}),
        (tiny_model, {"target_modules": r".*layers\.[02].*_proj", "exclude_modules": r".*down_proj"}),
        (tiny_model, {"target_modules": ["v_proj"], "layers_to_transform": [1, 3]}),
        (tiny_model, {"target_modules": ["v_proj"], "rank_pattern": {"1.*v_proj": 2}, "alpha_pattern": {"2.*": 64}}),
        (tiny_model, {"target_modules": ["embed_tokens", "q_proj"], "use_rslora": True}),
        (gpt2, {"target_modules": "all-linear"}),
        (gpt2, {}),
        (bert, {"target_modules": "all-linear"}),
    ],
)  # fmt: skip
def test_the_layers_are_those_of_peft(made: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    settings = {"r": 4, "lora_alpha": 8, **settings}
    model = made()
    model.save_pretrained(tmp_path)
    facts = ("name", "kind", "layer", "d_out", "d_in", "r", "alpha", "scale", "scale_formula", "trainable")
    planned = [
        sorted(tuple(getattr(info, fact) for fact in facts) for info in planned_adapters(settings, read_model(it), 0))
        for it in (model, tmp_path)
    ]
    real = [describe(adapter, 0) for adapter in find_adapters(get_peft_model(model, LoraConfig(**settings)))]
    assert planned[0] == sorted(tuple(getattr(info, fact) for fact in facts) for info in real)
    strip = lambda rows: [(row[0].removeprefix("transformer."), *row[1:]) for row in rows]  # noqa: E731 (files lack it)
    assert strip(planned[1]) == strip(planned[0])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"target_modules": ["query"]}, "has no layer 'query'"),
        ({"target_modules": 5}, "hold no names"),
        ({"target_modules": ["q_proj"], "layers_to_transform": "all"}, "hold no names"),
        ({"target_modules": "(", "rank_pattern": {"q_proj": 2}}, "no regular expression"),
        ({"target_modules": ["q_proj"], "rank_pattern": {"(": 2}}, "no regular expression"),
    ],
)
def test_layers_that_are_not_there_are_named(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        planned_adapters({"r": 4, "lora_alpha": 8, **settings}, read_model(TINY_LLAMA), 0)


def test_a_loaded_model_is_not_changed_and_gives_the_same_advice() -> None:
    model = tiny_model()
    before = {name: p.clone() for name, p in model.named_parameters()}
    advised = advise(model, "instruction-tuning")
    assert {name: torch.equal(p, before[name]) for name, p in model.named_parameters()} == dict.fromkeys(before, True)
    stored = advise(TINY_LLAMA, "instruction-tuning")
    assert (advised.lora, advised.learning_rate) == (stored.lora, stored.learning_rate)
    with pytest.raises(ValueError, match="has adapters already"):
        advise(lora(model))


def test_without_weights_no_learning_rate_is_advised(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((TINY_LLAMA / "config.json").read_bytes())
    bare = advise(tmp_path / "config.json", "instruction-tuning")
    assert (bare.learning_rate, bare.rates, bare.parameters) == (None, None, None)
    assert sum("--find-lr" in reason for reason in bare.reasons) == 1
    assert bare.lora == advise(TINY_LLAMA, "instruction-tuning").lora


def test_quantised_weights_are_no_numbers(tmp_path: Path) -> None:
    """In eight bits a number is nothing without its scale, and in four there is no matrix."""
    model = tiny_model()
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "fp8"}}))
    assert advise(tmp_path).rates is None
    judged = preflight({"r": 8, "target_modules": ["q_proj"]}, {"learning_rate": 1e-5}, model=tmp_path)
    assert any("frozen weights are not there" in note for note in judged.notes)


@pytest.mark.parametrize(
    ("config", "architecture", "task", "task_type"),
    [
        (BertConfig(), "BertModel", "classification", "SEQ_CLS"),
        (BertConfig(), "BertForMaskedLM", "domain-adaptation", None),
        (GPT2Config(), "GPT2LMHeadModel", "classification", "SEQ_CLS"),
        (GPT2Config(), "GPT2LMHeadModel", "domain-adaptation", "CAUSAL_LM"),
        # It reads input_features: as SEQ_2_SEQ_LM PEFT would hand it input_ids, and the first batch would fail.
        (WhisperConfig(), "WhisperForConditionalGeneration", "domain-adaptation", None),
    ],
)
def test_the_task_type_is_that_of_the_class(
    config: Any, architecture: str, task: str, task_type: str | None, tmp_path: Path
) -> None:
    config.architectures = [architecture]
    config.save_pretrained(tmp_path)
    advised = advise(tmp_path, task)
    assert advised.lora.get("task_type") == task_type
    assert any("ForSequence" in it for it in advised.reasons) == ("GPT2" in architecture and task_type == "SEQ_CLS")


# -- rank and data -----------------------------------------------------------------------------------------------------
def test_without_a_task_the_rank_is_eight() -> None:
    advised = advise(TINY_LLAMA)
    assert (advised.lora["r"], len(advised.reasons)) == (8, 4)  # what is not there takes no line of its own


@pytest.mark.parametrize(
    ("model", "settings", "says"),
    [
        (TINY_LLAMA / "nowhere", {}, "no config.json"),
        (Path("some-org/Some-8B"), {}, "hf download some-org/Some-8B .*--local-dir Some-8B"),
        (TINY_LLAMA, {"task": "domain adaption"}, "'domain-adaptation' meant"),
        (TINY_LLAMA, {"steps": math.nan}, "steps is nan"),
    ],
)
def test_bad_input_is_named(model: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        advise(model, **settings)


# -- the command -------------------------------------------------------------------------------------------------------
def test_the_command_prints_few_lines_and_the_code() -> None:
    shown = lora_watch("advise", TINY_LLAMA, "--task", "instruction-tuning")
    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) < 12
    assert "157,696 trainable parameters" in shown.output
    assert config_of(shown.output[shown.output.index("from peft") :]).r == 16
