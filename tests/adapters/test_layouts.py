"""loralib, litgpt and torchtune, read as they are, against their own merge or their own forward pass."""

from collections.abc import Callable
from typing import Any

import loralib
import pytest
import torch
from torch import Tensor, nn

from lora_watch import Monitor
from lora_watch.adapters import Adapter, find_adapters
from lora_watch.measurement.norms import AdapterBank, base_norms
from tests.adapters.zoo import Net, products

R, ALPHA = 3, 5


def randomised(layer: nn.Module, seed: int = 0) -> Net:
    """``layer`` with every parameter random, in float64."""
    torch.manual_seed(seed)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return Net(layer)


def check(adapter: Adapter, change: Tensor, frozen: list[Tensor]) -> None:
    """``change`` is what merging did to the weight ``[d_out, d_in]``, ``frozen`` the weight before it."""
    torch.testing.assert_close(products(adapter), [change])
    assert adapter.shape == change.shape
    torch.testing.assert_close(list(adapter.base_matrices()), frozen)
    norms = AdapterBank([adapter]).measure()
    sigma = torch.linalg.svdvals(change)
    assert norms["delta_norm"][0] == pytest.approx(float(change.norm()), rel=1e-9)
    assert norms["spectral_norm"][0] == pytest.approx(float(sigma[0]), rel=1e-9)
    weights = [torch.linalg.svdvals(block) for block in frozen]
    assert base_norms([adapter]).spectral_norm[0] == pytest.approx(float(torch.cat(weights).max()), rel=1e-6)


OPTIONS = {"r": R, "lora_alpha": ALPHA}
LORALIB: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: loralib.Linear(7, 10, **OPTIONS),
    "Linear, transposed": lambda: loralib.Linear(7, 10, fan_in_fan_out=True, **OPTIONS),
    "Embedding": lambda: loralib.Embedding(9, 6, **OPTIONS),
}
for flags in ([True], [True, False, True], [False, True, False, False], [True, True, True]):
    for turned in (False, True):
        LORALIB[f"Linear, {flags}, transposed {turned}"] = lambda flags=flags, turned=turned: loralib.MergedLinear(
            7, 12, enable_lora=flags, fan_in_fan_out=turned, **OPTIONS
        )


class TestLoralib:
    @pytest.mark.parametrize("label", LORALIB)
    def test_against_merge(self, label: str) -> None:
        model = randomised(LORALIB[label]())
        layer: Any = model.layer
        weight = layer.weight
        turned = getattr(layer, "fan_in_fan_out", False) or isinstance(layer, nn.Embedding)

        def matrix() -> Tensor:
            stored = weight.detach().clone()
            return stored.T if turned else stored

        before = matrix()
        (adapter,) = find_adapters(model)
        assert (adapter.name, adapter.kind) == ("layer", label.split()[0].rstrip(","))
        assert (adapter.r, adapter.alpha, adapter.scale, adapter.scale_formula) == (R, ALPHA, ALPHA / R, "alpha/r")
        assert (adapter.active, adapter.trainable, adapter.merged) == (True, True, False)
        assert adapter.base_layer is None
        assert adapter.base_weight is weight
        model.eval()
        change = matrix() - before
        assert change.norm() > 1
        assert not adapter.merged  # in a way that would hinder training
        check(adapter, change, [before])  # what was frozen is found inside the merged weight
        model.train()
        check(adapter, change, [before])

    def test_a_convolution_is_unknown(self) -> None:
        (adapter,) = find_adapters(randomised(loralib.Conv2d(6, 8, 3, **OPTIONS)))
        assert (adapter.kind, adapter.shape) == ("Conv2d", (8, 54))
        assert len(adapter.factors()) == 0

    def test_training_may_start_in_eval_mode(self) -> None:
        model = nn.ModuleDict({"layer": loralib.Linear(7, 10, **OPTIONS)}).eval()
        loralib.mark_only_lora_as_trainable(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with Monitor(model, optimizer) as monitor:
            model.train()
            model["layer"](torch.ones(2, 7)).sum().backward()
            optimizer.step()
            record = monitor.step()
        assert record.metrics["delta_norm"].values[0] > 0
        assert not monitor.alerts


class TestLitgpt:
    def make(self, name: str, *args: int, **options: Any) -> Any:
        lora = pytest.importorskip("litgpt.lora")
        return randomised(getattr(lora, name)(*args, r=R, lora_alpha=ALPHA, **options))

    def merged(self, model: Any) -> tuple[Adapter, Tensor, Tensor]:
        (adapter,) = find_adapters(model)
        before = model.layer.linear.weight.detach().clone()
        assert not adapter.merged
        model.layer.merge()
        change = model.layer.linear.weight.detach() - before
        assert adapter.merged
        assert change.norm() > 1
        return adapter, change, before

    def test_linear(self) -> None:
        model = self.make("LoRALinear", 7, 10)
        adapter, change, before = self.merged(model)
        check(adapter, change, [before])
        assert (adapter.name, adapter.kind, adapter.r, adapter.alpha) == ("layer", "Linear", R, ALPHA)
        assert adapter.base_layer is model.layer.linear

    @pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (4, 1)])
    @pytest.mark.parametrize(
        "enabled", [(True, True, True), (True, False, True), (False, True, False), (False, True, True)]
    )
    def test_queries_keys_values(self, heads: int, groups: int, enabled: tuple[bool, bool, bool]) -> None:
        sizes = {"head_size": 3, "n_head": heads, "n_query_groups": groups}
        rows = 3 * (heads + 2 * groups)
        model = self.make("LoRAQKVLinear", 12, rows, **sizes, enable_lora=enabled)
        buffers = dict(model.named_buffers())
        find_adapters(model)[0].factors()
        assert dict(model.named_buffers()).keys() == buffers.keys()
        adapter, change, before = self.merged(model)
        check(adapter, change, [before])
        assert adapter.r == R


class TestTorchtune:
    def make(self, name: str, **options: Any) -> Any:
        tune = pytest.importorskip("torchtune.modules.peft")
        return randomised(getattr(tune, name)(7, 10, rank=R, alpha=ALPHA, **options))

    @pytest.mark.parametrize("name", ["LoRALinear", "QATLoRALinear"])
    def test_against_its_forward_pass_and_its_merge(self, name: str) -> None:
        model = self.make(name)
        layer = model.layer
        (adapter,) = find_adapters(model)
        x = torch.eye(7, dtype=torch.float64)
        with torch.no_grad():
            change = layer(x).T - layer.weight
        check(adapter, change, [layer.weight.detach()])
        tune = pytest.importorskip("torchtune.modules.peft")
        state = {key: value.detach().clone() for key, value in layer.state_dict(prefix="l.").items()}
        merged = tune.get_merged_lora_ckpt(state, rank=R, alpha=ALPHA)["l.weight"]
        check(adapter, merged - layer.weight.detach(), [layer.weight.detach()])
        assert (adapter.name, adapter.kind, adapter.variant) == ("layer", "Linear", "lora")
        assert (adapter.r, adapter.alpha, adapter.scale, adapter.scale_formula) == (R, ALPHA, ALPHA / R, "alpha/r")
        assert (adapter.active, adapter.trainable, adapter.merged) == (True, True, False)
        assert adapter.base_layer is None
        assert adapter.magnitude is None

    def test_dora(self) -> None:
        """Its output is that of m · (W₀ + s·B·A)/‖W₀ + s·B·A‖, rows for themselves."""
        model = self.make("DoRALinear")
        layer = model.layer
        (adapter,) = find_adapters(model)
        assert (adapter.variant, adapter.r, adapter.scale) == ("dora", R, ALPHA / R)
        assert adapter.alpha == pytest.approx(ALPHA)
        changed = layer.weight.detach() + products(adapter)[0]
        changed = adapter.magnitude[:, None] * changed / changed.norm(dim=1, keepdim=True)
        with torch.no_grad():
            torch.testing.assert_close(layer(torch.eye(7, dtype=torch.float64)).T, changed)

    def test_quantised_weight_is_unknown(self) -> None:
        tune = pytest.importorskip("torchtune.modules.peft")
        model = nn.ModuleDict({"layer": tune.LoRALinear(128, 128, rank=R, alpha=ALPHA, quantize_base=True)})
        (adapter,) = find_adapters(model)
        assert adapter.base_weight is None
        assert len(adapter.base_matrices()) == 0
        assert adapter.shape == (128, 128)
        assert len(adapter.factors()) == 1
