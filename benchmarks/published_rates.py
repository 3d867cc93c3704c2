"""The learning rate that ``advise``'s formula gives, against the best of each model's grid, ours and published ones.

    python -m benchmarks.published_rates          prints the table of docs/larger-models.md; no model is loaded

Measured here: the best run of one family of the corpus, with the norms of the model's own weights. Rates at other
scales are converted to alpha = 2r.

Published: tinker-cookbook, ``recipes/chat_sl/results/sft_sweep.md``. Supervised fine-tuning with LoRA on tulu3, batches
of 128, 780 steps, a grid whose rates lie about a factor of 3 apart. Widths and depths are those of the models' public
configs. Two things are assumed, since the table does not state them or the weights are not here: entries of W₀ with a
spread of 0.02, and r 32 with alpha 32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from benchmarks.corpus import markdown
from benchmarks.corpus.generate import load_all
from benchmarks.corpus.labels import best
from benchmarks.corpus.plan import Spec, grid, larger
from lora_watch.base.records import AdapterInfo, RunInfo
from lora_watch.rules.forecast import ORDINARY_SCALE, SHORT_RUN, at_scale, at_steps, by_weights, has_new_head

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


MEASURED = {
    ("packaged Llama", "1 M"): Spec(seed=2),
    ("MiniLM", "22 M"): Spec("minilm", "news", steps=40, batch=8, seed=2),
    ("SmolLM2", "135 M"): Spec("smollm2", steps=25, batch=4, seed=2),
    ("Gemma 3 270M", "268 M"): Spec("gemma3", steps=24, batch=2, length=64),
    ("Qwen2.5-Coder 0.5B", "494 M"): Spec("qwen", steps=24, batch=2, length=64),
    ("Qwen2.5-Coder 1.5B", "1.5 B"): Spec("qwen1.5b", steps=24, batch=2, length=64),
}
"""By model and parameters, a run of the family whose best rate counts."""


class Rate(NamedTuple):
    """One row of the table."""

    model: str
    parameters: str
    best: float
    """The best rate of the grid."""
    source: str
    ours: float
    """What the formula says."""


def measured() -> Iterator[Rate]:
    """The models of the corpus."""
    for (model, parameters), one in MEASURED.items():
        alike = (one.family, one.r, one.rslora, one.dora, one.optimizer, one.seed)
        specs = (*grid(), *larger())
        runs = load_all(s for s in specs if (s.family, s.r, s.rslora, s.dora, s.optimizer, s.seed) == alike)
        if runs:
            top = best(runs, list(runs))
            run = runs[top].records[0].run
            rates = by_weights(run)
            assert rates is not None
            ours = at_steps(rates.best, SHORT_RUN, one.steps, has_new_head(run))
            found, ours = (at_scale(rate, top.scale, ORDINARY_SCALE) for rate in (top.lr, ours))
            yield Rate(model, parameters, found, f"here, {len(runs)} runs", ours)


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


def published() -> Iterator[Rate]:
    """``MODELS``."""
    for model in MODELS:
        yield Rate(model.model, f"{model.parameters:g} B", model.best, "published", predicted(model))


def table(rows: Iterable[Rate]) -> str:
    """Markdown: best and predicted rate of each model, and their ratio."""
    cells = (
        (row.model, row.parameters, f"{row.best:.2g}", row.source, f"{row.ours:.2g}", f"{row.ours / row.best:.2g}")
        for row in rows
    )
    return markdown.table(["model", "parameters", "best rate", "found", "our formula", "ratio"], cells)


if __name__ == "__main__":
    print(table([*measured(), *published()]))
