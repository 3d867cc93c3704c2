"""The script measures a step of the monitor on the Python thread, as a multiple of ``torch._foreach_norm`` of the
adapters' parameters in the same run. The aim is 2.5 for a plain step and 7 for a full one, whatever their number.

    python benchmarks/host_time.py [--steps 40] [--large] [--parts]

The adapters are so small (32 blocks of 7 linear layers of 8 × 8, r 2) that arithmetic vanishes and the host's time is
left. On an accelerator the host's thread launches the model's own work. ``--large`` takes 2,000 adapters, too.

A plain step is ``Monitor.step`` with the norms alone. A full one has the spectrum and ``output_ratio`` as well, and
the time that hooks add to the forward pass. Times are CPU time of one thread, as medians. Each step stands next to one
call of ``_foreach_norm`` in the same run. ``--parts`` splits a step: the time of each part without the parts that it
calls. The clock of the parts takes some microseconds itself.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from lora_watch import Monitor
from lora_watch.adapters.live import Live
from lora_watch.base.deferred import Deferred
from lora_watch.base.records import FIRST_STEPS
from lora_watch.measurement.norms import AdapterBank, bank
from lora_watch.measurement.norms.output_ratio import OutputRatioProbe
from lora_watch.measurement.norms.sample import FrozenWeights
from lora_watch.measurement.signals.gradients import Gradients
from lora_watch.measurement.signals.loss import LossSignals
from lora_watch.rules import Episodes
from lora_watch.run.recording import Recorder

foreach_norm: Any = torch._foreach_norm  # pyright: ignore[reportPrivateImportUsage]
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WIDTH, RANK, ROWS = 8, 2, 4

PARTS: dict[str, list[tuple[Any, str]]] = {
    "fingerprints": [(Live, "refresh"), (Live, "follow")],
    "gradients": [(Gradients, "begin")],
    "Grams": [(AdapterBank, "begin")],
    "norms and spectra from Grams": [(bank, "solve"), (bank, "_metrics")],
    "base weights": [(FrozenWeights, "begin")],
    "hooks put on": [(OutputRatioProbe, "arm")],
    "output ratios": [(OutputRatioProbe, "see_layer"), (OutputRatioProbe, "begin")],
    "numbers taken to the host": [(Deferred, "now")],
    "signals of the loss": [(LossSignals, "update")],
    "rules": [(Episodes, "check"), (Episodes, "place")],
    "record": [(Recorder, "measure"), (Recorder, "complete")],
}


class Block(nn.Module):
    """Seven layers with the names of a Llama's."""

    def __init__(self, layers: int):
        super().__init__()
        for name in LAYERS[:layers]:
            self.add_module(name, nn.Linear(WIDTH, WIDTH, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = x + 0.1 * layer(x)
        return x


class Times(NamedTuple):
    """Medians in seconds of CPU time."""

    floor: float
    step: float


def build(blocks: int) -> tuple[nn.Module, list[nn.Parameter]]:
    torch.manual_seed(0)
    model = nn.ModuleDict({"layers": nn.Sequential(*(Block(len(LAYERS)) for _ in range(blocks)))})
    model.forward = model["layers"].forward  # type: ignore[method-assign]
    peft = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=4, target_modules=list(LAYERS)))  # type: ignore[arg-type]
    return peft.train(), [p for p in peft.parameters() if p.requires_grad]


class Clock:
    """How long each part takes, without the parts inside it."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inside = [0.0]

    def around(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inside.append(0.0)
            began = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                self.spent[part] += took - self._inside.pop()
                self._inside[-1] += took

        return timed

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            for part, places in PARTS.items():
                for owner, name in places:
                    stack.enter_context(mock.patch.object(owner, name, self.around(part, getattr(owner, name))))
            yield


def cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def run(blocks: int, steps: int, full: bool) -> Times:
    """The time of ``steps`` steps, after those that are measured in full whatever they cost."""
    model, parameters = build(blocks)
    twin, _ = build(blocks)  # without a monitor, whose forward pass stands next to each of the model's
    tensors = [parameter.detach() for parameter in parameters]
    optimizer = torch.optim.SGD(parameters, lr=1e-3, foreach=True)
    x = torch.randn(ROWS, WIDTH)
    floors, steps_took, hooks = [], [], []
    losses: list[Tensor] = []

    def forward() -> None:
        losses[:] = [model(x).square().mean()]

    with Monitor(model, optimizer, console=False, full_every=1 if full else 1 << 30) as monitor:
        for step in range(1, FIRST_STEPS + 2 + steps):
            floors.append(cpu(lambda: foreach_norm(tensors)))
            took_bare = cpu(lambda: twin(x).square().mean()) if full else 0.0
            took_forward = cpu(forward)
            losses[0].backward()
            optimizer.step()
            took = cpu(lambda: monitor.step(loss=losses[0]))
            assert monitor.last is not None
            if step > FIRST_STEPS + 1 and ("output_ratio" in monitor.last.metrics) == full:
                steps_took.append(took)
                hooks.append(took_forward - took_bare)
            optimizer.zero_grad()
        assert len(monitor.run.adapters) == 7 * blocks
        assert "LW901" not in {alert.rule for alert in monitor.alerts}, monitor.alerts
    return Times(statistics.median(floors), statistics.median(steps_took) + (statistics.median(hooks) if full else 0.0))


def parts(blocks: int, steps: int) -> None:
    """The time of each part of a plain step and of a full one, medians in microseconds."""
    columns: list[dict[str, float]] = []
    for full in (False, True):
        clock, rows, floor = Clock(), [], 0.0
        real = Monitor.step

        def step(
            monitor: Monitor, *args: Any, real: Any = real, clock: Clock = clock, rows: Any = rows, **kw: Any
        ) -> Any:
            began = time.perf_counter()
            inside = sum(clock.spent.values())  # of the forward pass
            answer = real(monitor, *args, **kw)
            rest = time.perf_counter() - began - (sum(clock.spent.values()) - inside)
            rows.append({**clock.spent, "the rest of Monitor.step": rest})
            clock.spent.clear()
            return answer

        with clock.running(), mock.patch.object(Monitor, "step", step):
            floor = run(blocks, steps, full).floor
        rows = rows[-steps:]
        columns.append({name: statistics.median(row.get(name, 0.0) for row in rows) for name in rows[-1]})
        columns[-1]["_foreach_norm"] = floor
    print(f"\n{'µs a step of ' + format(7 * blocks, ',d') + ' adapters':34s} plain     ÷      full     ÷")
    for name in [*PARTS, "the rest of Monitor.step", "_foreach_norm"]:
        shown = (f"{1e6 * c.get(name, 0.0):8.0f} {c.get(name, 0.0) / c['_foreach_norm']:5.2f}" for c in columns)
        print(f"{name:34s}{'  '.join(shown)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="steps of each kind")
    parser.add_argument("--large", action="store_true", help="2,000 adapters, too")
    parser.add_argument("--parts", action="store_true", help="what a step spends its time on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("adapters  _foreach_norm  plain step  ÷   full step  ÷")
    for blocks in (32, 286) if options.large else (32,):
        plain, full = run(blocks, options.steps, full=False), run(blocks, options.steps, full=True)
        shown = "  ".join(f"{1e3 * took.step:7.2f} ms {took.step / took.floor:5.1f}" for took in (plain, full))
        print(f"{7 * blocks:8,d}  {1e3 * plain.floor:10.2f} ms  {shown}")
        if options.parts:
            parts(blocks, options.steps)


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # numpy's BLAS reads it when it is loaded: start once more
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        os.execv(sys.executable, [sys.executable, *sys.argv])
    main()
