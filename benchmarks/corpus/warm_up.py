"""Measure how large runs of the corpus become, and judge ruinous rates with a long warm-up, which its grids leave out.

Three thresholds rest on these figures: LW102's ``beyond``, its WARNING at twice ``threshold``, and LW202's ``large``.

    python -m benchmarks.corpus.warm_up     # six minutes; nothing is stored

Each run of the second table is trained twice, without these two thresholds and with them.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections import defaultdict

import numpy as np
import torch

from benchmarks.corpus.generate import load_all, train
from benchmarks.corpus.labels import label
from benchmarks.corpus.markdown import table
from benchmarks.corpus.plan import Spec
from lora_watch import LoraWatchCallback, Rule, Severity
from lora_watch.rules.loss import LossDivergence
from lora_watch.rules.norms import NormExplosion
from lora_watch.rules.size import size_of

SOUND, RUINOUS = 0.005, (0.05, 0.1)
STEPS, WARM_UP, SEEDS = 80, 24, range(4)


def largest() -> str:
    """The largest size of each run of the corpus, by label."""
    traces, by_label = load_all(), defaultdict(list)
    for spec, outcome in label(traces).items():
        sizes = [size.overall for record in traces[spec].records if (size := size_of(record)) is not None]
        by_label[outcome.label].append(max(sizes, default=0.0))
    vast = 2.0 * NormExplosion().threshold
    rows = [
        [name, len(of), *(f"{np.quantile(of, q):.3g}" for q in (0.5, 0.9, 1.0)), sum(size > vast for size in of)]
        for name, of in by_label.items()
    ]
    heads = ["label", "runs", "median of the largest size", "nine of ten, up to", "the largest", f"above {vast:g}"]
    return table(heads, rows)


def errors(spec: Spec, rules: list[Rule] | None) -> tuple[str, float, float]:
    """The ERRORs of a run under these rules, and its held-out loss before and after."""
    callback = LoraWatchCallback(fail_on="never", console=False, tensorboard=False, rules=rules)
    with tempfile.TemporaryDirectory() as folder:
        _, before, after = train(spec, folder, callback)
    assert callback.monitor is not None
    said = [f"{a.rule} at {a.step}" for a in callback.monitor.alerts if a.severity == Severity.ERROR]
    return ", ".join(said) or "–", before, after


def long_warm_ups() -> str:
    rows = []
    for lr in (SOUND, *RUINOUS):
        for seed in SEEDS:
            spec = Spec(lr=lr, steps=STEPS, batch=8, warm_up=WARM_UP, seed=seed)
            old, before, after = errors(spec, [NormExplosion(beyond=math.inf), LossDivergence(large=math.inf)])
            new, *_ = errors(spec, None)
            rows.append([f"{lr:g}", seed, f"{before:.2f} → {after:.2f}", old, new])
    return table(["learning rate", "seed", "held-out loss", "ERRORs without the two thresholds", "with them"], rows)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    print(f"{largest()}\n\n{WARM_UP} of {STEPS} steps of warm-up:\n\n{long_warm_ups()}")


if __name__ == "__main__":
    main()
