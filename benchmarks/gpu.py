"""Claim, not yet proven: on a GPU nobody waits for the monitor. **Never run on a GPU**: there was none.

    python benchmarks/gpu.py [--device cuda|mps|xpu|strict|cpu] [--models 1b,7b] [--steps 20] [--no-tests]

One command measures a GPU. The models have random weights in the shapes of Llamas, bf16, and 224 adapters of rank 16.
For each model the script prints:

- the time of a step without the monitor, with a plain measurement and with a full one;
- the monitor's own time of the host;
- device operations and peak memory.

The script ends with an error where one of these does not hold:

- Nothing waits for the device but the reading of the step before. CUDA's own check of synchronisations is set to
  ``error`` around our code.
- Every norm agrees with float64 on the CPU to 1e-6, and ``output_ratio`` with its definition to 1e-3.
- Weights after training are the same bit for bit with and without the monitor.
- A captured CUDA graph replays with the monitor as without it.
- ``torch.compile`` makes the same graphs of a model with the monitor as without it.
- The tests of late numbers (``LATE``) pass on the device. Elsewhere they take a CPU for an accelerator.

``--device strict --models toy`` uses the device of the test suite (``tests/device``); the suite runs this command.
``--device cpu --models toy`` uses the CPU alone. Times mean nothing with either.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from lora_watch import Monitor, find_adapters
from lora_watch.base.records import FIRST_STEPS, Due
from lora_watch.measurement.norms import AdapterBank
from lora_watch.measurement.norms.output_ratio import OutputRatioProbe


class Shape(NamedTuple):
    blocks: int
    width: int
    inner: int
    tokens: int


MODELS = {
    "toy": Shape(2, 64, 128, 64),
    "1b": Shape(32, 1536, 4096, 2048),
    "7b": Shape(32, 4096, 11008, 2048),
}
KINDS = {"norms": 1 << 30, "full": 1}
"""By what is measured after the first steps: ``full_every``."""
LATE = ("tests/monitor/test_late.py", "tests/monitor/test_operations.py")
VIEWS = (torch.ops.aten.detach, torch.ops.aten.empty)


class Surprise(SystemExit):
    """A promise of this script does not hold."""


class Operations(TorchDispatchMode):
    """Counts operations that do work on a device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view and func.overloadpacket not in VIEWS
        return func(*args, **(kwargs or {}))


def build(shape: Shape, device: torch.device) -> Any:
    torch.manual_seed(0)
    heads = max(shape.width // 128, 1)
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.blocks,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=shape.tokens,
    )
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    return get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")).train()  # type: ignore[arg-type]


def wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


@contextlib.contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Inside, CUDA raises where something waits for it, and the strict device says so. Other devices cannot tell."""
    if device.type == "strict":
        from tests.device import strict

        with strict.waits() as waits:
            yield
        if blocking := [wait for wait in waits if wait.what != "event"]:
            raise Surprise(f"the monitor waits for the device: {blocking[0].what}, {', '.join(blocking[0].stack[:3])}")
        return
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def never_waiting(name: str, device: torch.device) -> Any:
    """A method of the probe, which is called in forward passes, that may not wait."""
    real = getattr(OutputRatioProbe, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        with no_waiting(device):
            return real(*args, **kwargs)

    return method


class Outcome(NamedTuple):
    step: float
    """Median seconds of a step, waited for."""
    host: float
    """Of these, in the monitor."""
    operations: int
    """Of ``Monitor.step`` at the last step."""
    peak: int
    weights: list[Tensor]


def train(shape: Shape, device: torch.device, steps: int, kind: str | None) -> Outcome:
    """Train; ``kind``: what is measured at each step, None for no monitor."""
    model = build(shape, device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    ids = torch.randint(0, 4096, (1, shape.tokens), generator=torch.Generator().manual_seed(1)).to(device)
    monitor = Monitor(model, optimizer, console=False, full_every=KINDS[kind]) if kind else None
    warm_up = FIRST_STEPS + 2
    times, hosts, operations = [], [], 0
    with contextlib.ExitStack() as stack:
        for name in ("begin_pass", "see_layer"):
            stack.enter_context(mock.patch.object(OutputRatioProbe, name, never_waiting(name, device)))
        if monitor is not None:
            stack.enter_context(monitor)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for step in range(warm_up + steps):
            wait(device)
            spent, began = monitor.guard.seconds if monitor else 0.0, time.perf_counter()
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            if monitor is not None:
                with (
                    Operations() if step == warm_up + steps - 1 else contextlib.nullcontext() as seen,
                    no_waiting(device),
                ):
                    monitor.step(loss=loss)
                operations = seen.count if seen is not None else 0
            optimizer.zero_grad()
            wait(device)
            if step >= warm_up:
                times.append(time.perf_counter() - began)
                hosts.append((monitor.guard.seconds if monitor else 0.0) - spent)
        if monitor is not None:
            monitor.engine.flush()
            check(monitor, model)
            assert monitor.last is not None
            if ("output_ratio" in monitor.last.metrics) != (kind == "full"):
                raise Surprise(f"the last step was to be a {kind} one, and has {', '.join(monitor.last.metrics)}")
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    weights = [p.detach().cpu() for p in trained]
    return Outcome(statistics.median(times), statistics.median(hosts), operations, peak, weights)


class OnHost:
    """An adapter's factors, copied to the CPU in float64."""

    diagonal = None

    def __init__(self, adapter: Any):
        self.scale = adapter.scale
        self._blocks = [type(block)(*(x.detach().cpu().double() for x in block)) for block in adapter.factors()]

    def factors(self) -> Any:
        return self._blocks


def check(monitor: Monitor, model: Any) -> None:
    if broken := [str(alert) for alert in monitor.alerts if alert.rule == "LW901"]:
        raise Surprise("the monitor failed:\n" + "\n".join(broken))
    assert monitor.last is not None
    truth = AdapterBank([OnHost(adapter) for adapter in find_adapters(model)]).measure()
    for name, values in truth.items():
        reading = monitor.last.metrics.get(name)
        if reading is not None and not np.allclose(reading.values, values, rtol=1e-6, atol=0):
            worst = float(np.nanmax(np.abs(reading.values / values - 1)))
            raise Surprise(f"{name} differs from float64 on the CPU by {worst:.1e}, more than 1e-6")


def same(one: Outcome, other: Outcome) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


def graph(device: torch.device) -> str:
    """A captured step with and without the monitor: its weights, bit for bit."""
    if device.type != "cuda":
        return "CUDA graphs: not on this device"
    results = []
    for monitored in (False, True):
        model = build(MODELS["toy"], device)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4, capturable=True)
        ids = torch.randint(0, 4096, (1, 64), generator=torch.Generator().manual_seed(1)).to(device)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                optimizer.zero_grad(set_to_none=False)
                model(input_ids=ids, labels=ids).loss.backward()
                optimizer.step()
        torch.cuda.current_stream().wait_stream(stream)
        captured = torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=False)
        with torch.cuda.graph(captured):
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
        monitor = Monitor(model, optimizer, console=False) if monitored else contextlib.nullcontext()
        with monitor:
            for _ in range(20):
                captured.replay()
                if isinstance(monitor, Monitor):
                    monitor.step(loss=loss)
        if isinstance(monitor, Monitor):
            check(monitor, model)
        results.append([p.detach().cpu() for p in trained])
    if not all(torch.equal(a, b) for a, b in zip(*results, strict=True)):
        raise Surprise("a captured CUDA graph gives other weights with the monitor")
    return "CUDA graphs: the same weights with the monitor as without"


def compiled(device: torch.device) -> str:
    """``torch.compile`` on a model with a monitor and on one without: its graphs and its losses."""
    backend = "inductor" if device.type == "cuda" else "eager"
    results = []
    for monitored in (False, True):
        torch._dynamo.reset()
        model = build(MODELS["toy"], device)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
        ids = torch.randint(0, 4096, (1, 64), generator=torch.Generator().manual_seed(1)).to(device)
        counter = CompileCounterWithBackend(backend)
        fast: Any = torch.compile(model, backend=counter)
        losses = []
        monitor = Monitor(model, optimizer, console=False) if monitored else None
        with contextlib.ExitStack() as stack:
            if monitor is not None:
                stack.enter_context(monitor)
            for _ in range(4):
                loss = fast(input_ids=ids, labels=ids).loss
                loss.backward()
                optimizer.step()
                if monitor is not None:
                    monitor.step(loss=loss)
                optimizer.zero_grad()
                losses.append(loss.item())
        results.append((losses, counter.frame_count, counter.op_count))
    if results[0] != results[1]:
        raise Surprise(f"torch.compile is not untouched: without {results[0]}, with the monitor {results[1]}")
    return f"torch.compile ({backend}): the same losses of the same {results[0][1]} graph(s) with and without"


def output_ratios(device: torch.device) -> str:
    """``output_ratio`` against its definition in float64, of all tokens."""
    model = build(MODELS["toy"], device)
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.02)
    adapters = find_adapters(model)
    inputs: dict[int, Tensor] = {}
    for i, adapter in enumerate(adapters):
        layer: Any = adapter.base_layer
        layer.register_forward_pre_hook(lambda _, args, i=i: inputs.update({i: args[0].detach()}))
    ids = torch.randint(0, 4096, (1, 64), generator=torch.Generator().manual_seed(1)).to(device)
    probe = OutputRatioProbe(model, adapters)
    probe.arm(0)
    model(input_ids=ids, labels=ids)
    reading = probe.begin(Due(1)).now()["output_ratio"]
    for i, adapter in enumerate(adapters):
        x, (a, b), weight = inputs[i], adapter.factors()[0], adapter.base_weight
        assert weight is not None
        x, a, b, weight = (tensor.detach().cpu().double() for tensor in (x.flatten(0, 1), a, b, weight))
        truth = float(adapter.scale * (x @ a.T @ b.T).norm() / (x @ weight.T).norm())
        if not abs(reading.values[i] / truth - 1) < 1e-3:
            raise Surprise(f"output_ratio of {adapter.name} is {reading.values[i]:.6g}, by its definition {truth:.6g}")
    return "output_ratio agrees with its definition in float64 on the CPU to 1e-3"


def tests(device: torch.device) -> str:
    """The suite's tests of what arrives late, on the device."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", "-x", *LATE]
    done = subprocess.run(command, cwd=root, env=os.environ | {"TEST_DEVICE": str(device)})
    if done.returncode:
        raise Surprise(f"{' or '.join(LATE)} fails on {device}")
    return f"{' and '.join(LATE)} pass on {device}"


def report(name: str, shape: Shape, device: torch.device, steps: int) -> None:
    without, again = (train(shape, device, steps, None) for _ in range(2))
    deterministic = same(without, again)
    print(f"\n{name}: {7 * shape.blocks} adapters, {shape.tokens} tokens a step")
    print(f"  without   {1e3 * without.step:9.2f} ms a step, peak {without.peak / 2**20:,.0f} MiB")
    for kind in KINDS:
        took = train(shape, device, steps, kind)
        if deterministic and not same(without, took):
            raise Surprise(f"{name}: training is not the same with the monitor ({kind} steps)")
        print(
            f"  {kind:8}  {1e3 * took.step:9.2f} ms a step ({took.step / without.step - 1:+.2%}), host "
            f"{1e3 * took.host:.2f} ms, {took.operations} operations in Monitor.step, peak "
            f"{(took.peak - without.peak) / 2**20:+,.0f} MiB"
        )
    bits = "the same bit for bit with and without" if deterministic else "cannot be compared: two runs without differ"
    print(f"  weights {bits}; norms agree with float64 on the CPU to 1e-6")


def _load_strict() -> None:
    """The device of the test suite, which is not installed: it lies next to this folder."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.device import strict

    if reason := strict.why_not():
        raise SystemExit(f"nothing has been measured: {reason}")
    strict.load()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", default="1b,7b")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--no-tests", action="store_true", help="leave out the tests")
    options = parser.parse_args(arguments)
    if options.device == "strict":
        _load_strict()
    device = torch.device(options.device)
    if device.type != "cpu" and not getattr(torch, device.type).is_available():
        raise SystemExit(f"no {device.type} device here: nothing has been measured (--device cpu tries the script)")
    card = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    print(f"{card}, torch {torch.__version__}, Python {sys.version.split()[0]}")
    if device.type in ("cpu", "strict"):
        print("A dry run: nothing here is an accelerator, and no time below means anything for one.")
    for name in options.models.split(","):
        report(name, MODELS[name], device, options.steps)
    print(output_ratios(device))
    print(graph(device))
    print(compiled(device))
    if not options.no_tests:
        print(tests(device))


if __name__ == "__main__":
    main()
