"""Which models may be run again: those made of known libraries alone, which are pure in evaluation mode."""

import copy
import functools
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from lora_watch.measurement.purity import unknown_code
from tests.support import lora, stdlib_blocks, tiny_model, train

FAMILIES = ("Llama", "Qwen2", "Gemma", "Mixtral", "GPTNeoX", "Bert", "GPT2", "OPT", "Mamba", "DebertaV2")


def known() -> Any:
    return lora(tiny_model())


def norm(model: Any) -> Any:
    return model.get_submodule("base_model.model.model.norm")


def test_models_of_the_libraries_are_known() -> None:
    model = known()
    model.enable_input_require_grads()  # a hook of theirs
    assert unknown_code(model) == unknown_code(lora(tiny_model(), use_dora=True)) == ""
    wrapped_by_accelerate: Any = train(known(), stdlib_blocks(4, 16), 1, bf16=True).model
    assert unknown_code(wrapped_by_accelerate) == ""


class Mine(nn.Linear):
    """Of a user's own."""


def replaced(model: Any) -> None:
    forward = norm(model).forward
    norm(model).forward = lambda x: forward(x)


def wrapped(model: Any) -> None:
    forward = norm(model).forward
    norm(model).forward = functools.wraps(forward)(lambda x: forward(x))


def of_a_checkpoint(model: Any) -> None:
    kind = type("Norm", (nn.Identity,), {"__module__": "transformers_modules.norm"})
    model.get_submodule("base_model.model.model").norm = kind()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda model: setattr(model.get_submodule("base_model.model"), "lm_head", Mine(2, 2)), "Mine"),
        (of_a_checkpoint, "transformers_modules"),
        (replaced, "forward of model.norm"),
        (wrapped, "forward of model.norm"),
        (lambda model: setattr(model, "_loss_function", lambda *_: None), "_loss_function"),
        (lambda model: norm(model).register_forward_hook(lambda *_: None), "hook of model.norm"),
        (lambda model: norm(model).register_forward_pre_hook(lambda *_: None), "hook of model.norm"),
    ],
)
def test_what_is_not_known_is_named(change: Callable[[Any], Any], named: str) -> None:
    model = known()
    change(model)
    assert named in unknown_code(model)


def test_a_class_whose_forward_was_replaced_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    model = known()
    kind = type(norm(model))
    forward = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, x: forward(self, x))
    assert type(norm(model)).__name__ in unknown_code(model)


def test_a_hook_of_all_modules_is_one_of_each() -> None:
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert "all modules" in unknown_code(known())
    finally:
        handle.remove()


def test_a_kernel_that_was_loaded_is_a_librarys_and_a_module_of_its_like_is_not(tmp_path: Path) -> None:
    kernels = pytest.importorskip("kernels", "0.19", reason="older kernels do not list what they loaded")
    name = f"_kernel_{uuid.uuid4().hex}"
    (folder := tmp_path / "build" / "torch-cpu").mkdir(parents=True)
    about = {
        "id": name,
        "name": "norms",
        "version": 1,
        "license": "MIT",
        "python-depends": [],
        "backend": {"type": "cpu"},
    }
    (folder / "metadata.json").write_text(json.dumps(about))
    (folder / "__init__.py").write_text("from . import layers")
    (folder / "layers.py").write_text("def forward(self, x):\n    return x\n")
    forward = kernels.get_local_kernel(tmp_path).layers.forward
    model = known()
    norm(model).forward = MethodType(forward, norm(model))
    assert unknown_code(model) == ""
    forward.__globals__["__name__"] = "layers"  # the same code, from no kernel
    assert "forward of model.norm" in unknown_code(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_known_models_keep_nothing_of_a_pass_in_evaluation_mode(family: str) -> None:
    """That is what they are taken for: no attribute, buffer or weight moves, and a second pass is the first."""
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    kind = next(
        kind
        for head in ("ForCausalLM", "LMHeadModel", "ForSequenceClassification")
        if (kind := getattr(transformers, family + head, None)) is not None
    )
    config = kind.config_class(**small | {"vocab_size": 96, "pad_token_id": 0, "num_key_value_heads": 4})
    torch.manual_seed(0)
    model = kind(config).eval()
    assert unknown_code(model) == ""
    ids = torch.randint(1, 96, (2, 16))

    def state() -> list[Any]:
        held = [{k: v for k, v in vars(m).items() if not k.startswith("_")} for m in model.modules()]
        return [copy.deepcopy(model.state_dict()), [b.clone() for b in model.buffers()], [repr(h) for h in held]]

    with torch.no_grad():
        model(input_ids=ids)  # the training's own pass
        before = state()
        first, second = (model(input_ids=ids).logits for _ in range(2))
    after = state()
    assert torch.equal(first, second)
    assert all(map(torch.equal, before[0].values(), after[0].values()))
    assert all(map(torch.equal, before[1], after[1]))
    assert before[2] == after[2]
