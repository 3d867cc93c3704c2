"""The line before the first step: where the adapters are, and what has none."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from lora_watch import Monitor
from lora_watch.gate.formats.text import text
from lora_watch.gate.judging import judge
from tests.support import lora, needs_peft, tiny_model
from tests.tune.smaller import tiny


def placement(model: Any, **options: Any) -> str:
    with Monitor(lora(model, **options), console=False) as monitor:
        return monitor.run.placement


def mixture() -> Any:
    sizes = {"hidden_size": 32, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "vocab_size": 99}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "num_experts": 4}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen2_moe", **sizes, **layers))


def test_a_model_that_is_adapted_everywhere_lacks_nothing() -> None:
    line = "28 adapters: q k v o gate up down in 4 of 4 blocks; 7.8 % of the parameters; rank 8, alpha/r 2."
    assert placement(tiny_model()) == line
    line = placement(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), targets=["0"], task_type=None, use_rslora=True)
    assert line == "1 adapter: 0; 62 % of the parameters; rank 8, alpha/√r 5.66."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"targets": ["q_proj", "v_proj"]}, "q v in 4 of 4 blocks; 1.7 % of the parameters; rank 8, alpha/r 2. Without "
         "adapters: the MLP (gate up down)."),
        ({"modules_to_save": ["lm_head"]}, "4 blocks; 18 % of the parameters, with lm_head; rank 8"),
        ({"targets": ["q_proj", "up_proj"], "layers_to_transform": [0, 1]}, "Without adapters: blocks 2, 3."),
    ],
)  # fmt: skip
def test_what_is_left_out_is_named(options: dict[str, Any], said: str) -> None:
    assert said in placement(tiny_model(), **options)


@pytest.mark.parametrize("tied", [True, False])
def test_an_adapted_head_that_is_tied_is_named(tied: bool) -> None:
    line = placement(tiny(tie_word_embeddings=tied), targets=["q_proj", "lm_head"])
    assert ("model.embed_tokens and lm_head share one weight: a merge changes both ends." in line) is tied
    assert "share one weight" not in placement(tiny(tie_word_embeddings=tied), targets=["q_proj"])


def test_frozen_adapters_are_adapters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The end of the run and ``check`` repeat it."""
    model = lora(tiny_model())
    for name, parameter in model.named_parameters():
        if "lora_" in name and ".layers.0." not in name:
            parameter.requires_grad_(False)
    with Monitor(model, output_dir=tmp_path) as monitor:
        assert monitor.run.placement.endswith("rank 8, alpha/r 2. 21 more adapters are frozen.")
    with Monitor(model.requires_grad_(False), console=False) as monitor:
        assert "; all frozen; rank 8" in monitor.run.placement
    assert "7 of 28 adapters" in capsys.readouterr().err
    assert "7 of 28 adapters" in text(judge([tmp_path]))


@needs_peft("0.18")
def test_experts_that_no_name_reaches_are_named() -> None:
    if not hasattr(mixture().model.layers[0].mlp.experts, "down_proj"):
        pytest.skip("this version of transformers keeps each expert apart")
    shared = placement(mixture(), targets=["shared_expert.up_proj", "shared_expert.down_proj"])
    assert "4 adapters: up down in 2 of 2 blocks" in shared
    assert "Without adapters: the routed experts" in shared
    reached = {"targets": ["q_proj"], "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]}
    assert "Without" not in placement(mixture(), **reached)
