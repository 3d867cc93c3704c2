"""The learning rate that ``advise``'s formula gives for large models, against the best ones that others have published.

    python benchmarks/published_rates.py          prints the table of docs/larger-models.md; no model is loaded

Published: tinker-cookbook, ``recipes/chat_sl/results/sft_sweep.md``. Supervised fine-tuning with LoRA on tulu3, batches
of 128, 780 steps, a grid whose rates lie about a factor of 3 apart. Widths and depths are those of the models' public
configs. Two things are assumed, since the table does not state them or the weights are not here: entries of W₀ with a
spread of 0.02, and r 32 with alpha 32.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from lora_watch.base.records import AdapterInfo, RunInfo
from lora_watch.rules.forecast import SHORT_RUN, at_steps, by_weights

SPREAD, RANK, ALPHA, STEPS = 0.02, 32, 32.0, 780


class Published(NamedTuple):
    """One model of the published table."""

    model: str
    parameters: float
    """In billions."""
    width: int
    inner: int
    """Width of the MLP."""
    blocks: int
    best: float
    """The best learning rate of the published grid."""


MODELS = (
    Published("Llama-3.2-1B", 1.2, 2048, 8192, 16, 1e-3),
    Published("Llama-3.2-3B", 3.2, 3072, 8192, 28, 1e-3),
    Published("Qwen3-4B", 4.0, 2560, 9728, 36, 1e-3),
    Published("Llama-3.1-8B", 8.0, 4096, 14336, 32, 3e-4),
    Published("Qwen3-8B", 8.2, 4096, 12288, 36, 1e-3),
    Published("Qwen3-32B", 32.8, 5120, 25600, 64, 3e-4),
    Published("Llama-3.1-70B", 70.6, 8192, 28672, 80, 3e-4),
)


def predicted(model: Published) -> float:
    """The rate of a run of ``STEPS`` steps with adapters on all linear layers of every block."""

    def adapter(block: int, name: str, d_in: int, d_out: int) -> AdapterInfo:
        of_base = SPREAD * math.sqrt(d_in * d_out)
        info = f"layers.{block}.{name}", "Linear", block, d_out, d_in, RANK, ALPHA, ALPHA / RANK, "alpha/r", 0
        return AdapterInfo(*info, trainable=RANK * (d_in + d_out), base_norm=of_base)

    d, inner = model.width, model.inner
    shapes = dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), (d, d))
    shapes |= {"gate_proj": (d, inner), "up_proj": (d, inner), "down_proj": (inner, d)}
    adapters = [adapter(i, name, *shape) for i in range(model.blocks) for name, shape in shapes.items()]
    rates = by_weights(RunInfo(tuple(adapters), optimizer="AdamW", peak_lr=(1e-4,)))
    assert rates is not None
    return at_steps(rates.best, SHORT_RUN, STEPS)


def table() -> str:
    """Markdown: published and predicted rate of each model, and their ratio."""
    rows = ["| model | published best rate | our formula | ratio |", "|---|---|---|---|"]
    for model in MODELS:
        rate = predicted(model)
        rows.append(f"| {model.model} | {model.best:g} | {rate:.2g} | {rate / model.best:.2g} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
