"""The advice is what PEFT and a real run then do: counts, scales and first steps, and code that runs as it is."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MPNetConfig,
    ViTConfig,
    WhisperConfig,
)
from typer.testing import CliRunner, Result

from lora_watch import LoraWatchCallback, Monitor, advise, find_adapters
from lora_watch.cli.app import app
from lora_watch.demo.models import TINY_LLAMA
from lora_watch.tune.advise import transfer
from lora_watch.tune.tasks import TASKS
from tests.support import lora, tiny_model, train

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def config_of(code: str) -> Any:
    made: dict[str, Any] = {}
    exec(code, made)
    return made["config"]


def folder(path: Path, config: Any, architecture: str) -> Path:
    config.architectures = [architecture]
    config.save_pretrained(path)
    return path


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["advise", *arguments], env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"})


# -- what it says is what happens --------------------------------------------------------------------------------------
@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_the_code_runs_and_makes_what_was_said(task: str) -> None:
    advised = advise(TINY_LLAMA, task)
    model = get_peft_model(tiny_model(), config_of(advised.code()))
    assert model.get_nb_trainable_parameters()[0] == advised.trainable_parameters == advised.adapter_parameters
    assert advised.model_parameters == tiny_model().num_parameters()
    adapters = find_adapters(model)
    assert [a.scale for a in adapters] == pytest.approx([advised.scale] * 28)
    r = advised.lora["r"]
    assert advised.ranks[0] <= r <= advised.ranks[1]
    assert not advised.findings


def test_the_first_step_foretold_is_the_one_that_comes() -> None:
    advised = advise(TINY_LLAMA, "instruction-tuning", learning_rate=1e-3)
    model = lora(tiny_model(), r=advised.lora["r"], alpha=advised.lora["lora_alpha"])
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with Monitor(model, optimizer) as monitor:
        ids = torch.arange(64).reshape(2, 32)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        monitor.step()
    assert monitor.last is not None
    measured = float(torch.tensor(monitor.last.metrics["relative_norm"].values).median())
    assert advised.first_step == pytest.approx(4 * measured, rel=0.1)


def test_the_learning_rate_to_start_from_makes_an_ordinary_step() -> None:
    advised = advise(TINY_LLAMA, "instruction-tuning")
    assert advised.learning_rates is not None
    start, low, high = advised.learning_rates
    assert low < start < high
    again = advise(TINY_LLAMA, "instruction-tuning", learning_rate=start)
    assert again.first_step is not None
    assert 0.04 < again.first_step <= 0.2  # of the weights, summed over four blocks
    hot = advise(TINY_LLAMA, "instruction-tuning", learning_rate=0.1)
    assert [alert.rule for alert in hot.findings] == ["LW401"]


def test_the_advised_settings_train_without_an_alert() -> None:
    advised = advise(TINY_LLAMA, "domain-adaptation")
    assert advised.learning_rates is not None
    model = get_peft_model(tiny_model(), config_of(advised.code()))
    callback = LoraWatchCallback(fail_on="warning", console=False)
    trainer = train(model, steps=20, lr=advised.learning_rates[0], callbacks=[callback], logging_steps=1)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] - 0.5


# -- the model ---------------------------------------------------------------------------------------------------------
def test_a_loaded_model_is_not_changed_and_gives_the_same_advice() -> None:
    model = tiny_model()
    before = {name: p.clone() for name, p in model.named_parameters()}
    advised = advise(model, "instruction-tuning", learning_rate=1e-3)
    assert {name: torch.equal(p, before[name]) for name, p in model.named_parameters()} == dict.fromkeys(before, True)
    stored = advise(TINY_LLAMA, "instruction-tuning", learning_rate=1e-3)
    assert advised.first_step == pytest.approx(stored.first_step, rel=1e-6)
    assert (advised.lora, advised.learning_rates) == (stored.lora, pytest.approx(stored.learning_rates))


def test_without_weights_no_learning_rate_is_advised(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((TINY_LLAMA / "config.json").read_bytes())
    bare = advise(tmp_path / "config.json", "instruction-tuning", learning_rate=1e-3)
    assert (bare.first_step, bare.learning_rates) == (None, None)
    (note,) = bare.notes
    assert "--find-lr" in note
    assert bare.lora == advise(TINY_LLAMA, "instruction-tuning").lora


def test_a_model_of_70_billion_needs_no_memory(tmp_path: Path) -> None:
    config = LlamaConfig(
        hidden_size=8192,
        intermediate_size=28672,
        num_hidden_layers=80,
        num_attention_heads=64,
        num_key_value_heads=8,
        vocab_size=128256,
        dtype="bfloat16",
    )
    advised = advise(folder(tmp_path, config, "LlamaForCausalLM"), "continued-pretraining")
    assert advised.model_parameters == 70_553_706_496
    assert advised.lora["use_rslora"] is True
    assert advised.scale == pytest.approx(1)
    assert advised.trainable_parameters == 64 * 80 * (2 * (8192 + 8192) + 2 * (8192 + 1024) + 3 * (8192 + 28672))


def test_an_encoder_gets_the_head_of_a_classifier(tmp_path: Path) -> None:
    config = BertConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=99)
    advised = advise(folder(tmp_path, config, "BertModel"), "Classification")
    assert advised.lora["task_type"] == "SEQ_CLS"
    assert advised.trainable_parameters - advised.adapter_parameters == 2 * 32 + 2  # two classes and their bias


def test_what_lies_in_a_head_that_is_trained_whole_is_not_missing(tmp_path: Path) -> None:
    config = MPNetConfig(**SMALL, vocab_size=99)  # its attention's output is called o, its head has an out_proj
    advised = advise(folder(tmp_path, config, "MPNetModel"), "classification")
    assert advised.trainable_parameters > advised.adapter_parameters
    assert not [note for note in advised.notes if "such module" in note]


@pytest.mark.parametrize(
    ("config", "architecture", "task", "task_type"),
    [
        (BertConfig(**SMALL), "BertForMaskedLM", "domain-adaptation", None),
        (GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=99), "GPT2LMHeadModel", "classification", "CAUSAL_LM"),
        (ViTConfig(**SMALL, image_size=32), "ViTForImageClassification", "classification", None),
        # Reads input_features: as SEQ_2_SEQ_LM PEFT would hand it input_ids, and the first batch would fail.
        (WhisperConfig(d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                       decoder_attention_heads=2, pad_token_id=0),
         "WhisperForConditionalGeneration", "domain-adaptation", None),
    ],
)  # fmt: skip
def test_the_numbers_are_those_of_peft_on_the_class_that_the_configuration_names(
    config: Any, architecture: str, task: str, task_type: str | None, tmp_path: Path
) -> None:
    advised = advise(folder(tmp_path, config, architecture), task)
    assert advised.lora.get("task_type") == task_type
    with torch.device("meta"):
        model = get_peft_model(getattr(transformers, architecture)(config), config_of(advised.code()))
    trainable, everything = model.get_nb_trainable_parameters()
    assert (advised.trainable_parameters, advised.model_parameters) == (trainable, everything - trainable)


def test_a_language_model_that_classifies_is_reported_of_the_head() -> None:
    assert any("SEQ_CLS" in note for note in advise(TINY_LLAMA, "classification").notes)
    assert not any("SEQ_CLS" in note for note in advise(TINY_LLAMA, "instruction-tuning").notes)


def test_a_rank_of_ones_own_and_names_that_are_not_there() -> None:
    advised = advise(TINY_LLAMA, "classification", rank=32, target_modules=["q_proj", "up_prj"])
    assert str(advised).splitlines()[1].startswith("Rank 32, where 4 to 8 is usual")
    assert [note for note in advised.notes if re.search("such module: target_modules 'up_prj' .*'up_proj'", note)]


# -- rank and data -----------------------------------------------------------------------------------------------------
def test_more_data_allows_a_higher_rank_within_the_range() -> None:
    a_rank = advise(TINY_LLAMA, "instruction-tuning", rank=1).adapter_parameters
    ranks = [advise(TINY_LLAMA, "instruction-tuning", tokens=n * a_rank).lora["r"] for n in (1, 31, 32, 64, 10_000)]
    assert ranks == [16, 16, 32, 64, 64]
    enough, few = (" ".join(advise(TINY_LLAMA, "instruction-tuning", tokens=n * a_rank).notes) for n in (16, 15))
    assert "too many" not in enough
    assert "too many" in few
    assert f"Rank 16 has {16 * a_rank:,}" in few


def test_without_a_task_the_rank_is_eight() -> None:
    advised = advise(TINY_LLAMA)
    assert advised.task == "unknown"
    assert advised.lora["r"] == 8
    assert advised.notes == ()  # what is not there takes no line of its own
    assert advised.first_step is None


@pytest.mark.parametrize(
    ("model", "settings", "says"),
    [
        (TINY_LLAMA / "nowhere", {}, "no config.json"),
        (Path("some-org/Some-8B"), {}, "hf download some-org/Some-8B .*--local-dir Some-8B"),
        (TINY_LLAMA, {"task": "domain adaption"}, "'domain-adaptation' meant"),
        (TINY_LLAMA, {"tokens": -1}, "tokens is -1"),
        (TINY_LLAMA, {"learning_rate": math.nan}, "learning_rate is nan"),
        (TINY_LLAMA, {"target_modules": ["query"]}, "^PEFT .*'query'"),
    ],
)
def test_bad_input_is_named(model: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        advise(model, **settings)


# -- from one model to another -----------------------------------------------------------------------------------------
def test_rank_grows_with_the_root_of_the_width_and_the_scale_stays(tmp_path: Path) -> None:
    config = LlamaConfig(hidden_size=512, intermediate_size=1024, num_hidden_layers=8, vocab_size=1024)
    config.num_attention_heads = config.num_key_value_heads = 8
    wide = folder(tmp_path, config, "LlamaForCausalLM")
    advised = transfer(TINY_LLAMA, wide, 8, alpha=16)
    assert (advised.widths, advised.ranks) == ((128, 512), (8, 16))
    assert advised.lora["lora_alpha"] == 32
    assert advised.step_factor is None  # no weights in the second folder
    assert any("frozen weights" in reason for reason in advised.sentences())
    rooted = transfer(TINY_LLAMA, wide, 8, alpha=16, use_rslora=True)
    for each in (advised, rooted):
        model = get_peft_model(AutoModelForCausalLM.from_config(config), config_of(each.code()))
        assert [a.scale for a in find_adapters(model)] == pytest.approx([each.scale] * 56, rel=1e-3)


def test_the_learning_rate_that_keeps_the_first_step(tmp_path: Path) -> None:
    model = tiny_model()
    for name, p in model.named_parameters():
        if "_proj" in name:
            p.data *= 4
    model.save_pretrained(tmp_path)
    advised = transfer(TINY_LLAMA, tmp_path, 8, learning_rate=1e-3)
    assert advised.ranks == (8, 8)
    assert advised.step_factor == pytest.approx(0.25, rel=1e-3)
    assert advised.learning_rates == (1e-3, pytest.approx(5e-3))
    assert transfer(TINY_LLAMA, model, 8).step_factor == pytest.approx(0.25, rel=1e-3)


# -- the command -------------------------------------------------------------------------------------------------------
def test_the_command_prints_few_lines_and_the_code() -> None:
    shown = command(str(TINY_LLAMA), "--task", "instruction-tuning", "--lr", "1e-3", "--tokens", "1e6")
    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) < 20
    assert "630,784 trainable parameters" in shown.output
    code = shown.output[shown.output.index("from peft") :]
    assert config_of("\n".join(line.rstrip() for line in code.splitlines())).r == 64


def test_the_json() -> None:
    content = json.loads(command(str(TINY_LLAMA), "--task", "instruction-tuning", "--lr", "0.1", "--json").output)
    assert content["findings"]
    change = command(
        "--from-model", str(TINY_LLAMA), "--to-model", str(TINY_LLAMA), "--rank", "8", "--lr", "1", "--json"
    )
    content = json.loads(change.output)
    assert content["ranks"] == [8, 8]
    assert content["learning_rates"] == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "advise --help"),
        ([str(TINY_LLAMA), "--alpha", "16"], "preflight"),
        (["--from-model", str(TINY_LLAMA)], "--to-model"),
    ],
)
def test_misuse_is_one_line(arguments: list[str], says: str) -> None:
    shown = command(*arguments)
    assert shown.exit_code == 2
    assert says in shown.stderr
    assert shown.stderr.count("\n") == 1
