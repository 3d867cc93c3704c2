"""Where a layer's own forward pass is not called: compiled models, and kernels that fuse LoRA with the layer."""

import re
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from accelerate.utils import DynamoBackend
from torch._dynamo.testing import CompileCounterWithBackend

from lora_watch import Monitor
from lora_watch.drivers.trainer_info import is_compiled
from tests.support import lora, stdlib_blocks, tiny_model

TOKENS = torch.tensor([block["input_ids"] for block in stdlib_blocks(10, 32)]).split(2)


def train(model: Any, trained: Any, monitored: Any = None) -> tuple[list[float], Monitor | None]:
    """The losses of five steps of ``model``, of which ``monitored`` is a form, and its monitor."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    monitor = Monitor(monitored, optimizer, console=False, full_every=1) if monitored is not None else None
    losses = []
    for ids in TOKENS:
        loss = trained(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        if monitor is not None:
            monitor.step(loss=loss)
        optimizer.zero_grad()
        losses.append(float(loss))
    if monitor is not None:
        monitor.finish()
    return losses, monitor


def test_nothing_gets_into_a_compiled_graph() -> None:
    outcomes = []
    for monitored in (False, True):
        torch._dynamo.reset()
        torch.manual_seed(0)
        bare = tiny_model()
        bare.model.layers = bare.model.layers[:1]
        model, counter = lora(bare).train(), CompileCounterWithBackend("eager")
        losses, monitor = train(model, torch.compile(model, backend=counter), model if monitored else None)
        outcomes.append((losses, counter.frame_count, counter.op_count))
    assert outcomes[0] == outcomes[1], "the same losses to the bit, of the same graphs"
    assert outcomes[0][1] > 0
    assert monitor.last.metrics["delta_norm"].known.all()
    if outcomes[0][1] == 1:  # torch 2.4 does not get all of the model into one graph, and calls some layers' hooks
        assert re.search("output_ratio .*unknown .*7 of 7 adapters", monitor.run.notes[0])


def test_what_accelerate_compiles_is_compiled() -> None:
    def trainer(backend: DynamoBackend) -> Any:
        plugin = SimpleNamespace(backend=backend)
        return SimpleNamespace(accelerator=SimpleNamespace(state=SimpleNamespace(dynamo_plugin=plugin)))

    args: Any = SimpleNamespace(torch_compile=False)
    assert [is_compiled(args, trainer(b)) for b in (DynamoBackend.NO, DynamoBackend.INDUCTOR)] == [False, True]


def test_layers_of_a_fused_kernel_are_noted_as_unknown() -> None:
    """Unsloth's and Axolotl's kernels take the frozen weight and the factors, and call no layer."""
    model = lora(tiny_model(), targets=["q_proj", "v_proj"]).train()
    for block in model.get_base_model().model.layers:
        layer = block.self_attn.q_proj

        def forward(x: torch.Tensor, layer: Any = layer) -> torch.Tensor:
            a, b = layer.lora_A.default.weight, layer.lora_B.default.weight
            return F.linear(x, layer.base_layer.weight) + layer.scaling["default"] * (x @ a.T) @ b.T

        layer.forward = forward
    _, monitor = train(model, model, model)
    assert monitor.last.metrics["output_ratio"].known.tolist() == [False, True] * 4
    compared, unknown = monitor.run.notes
    assert "forward of model.layers.0.self_attn.q_proj" in compared
    assert re.match("output_ratio .*unknown .*4 of 8 adapters", unknown)
