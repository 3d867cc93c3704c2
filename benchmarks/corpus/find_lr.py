"""Does the rate that a sweep suggests train as well as the best of a grid? And the rates that people take without one?

    python -m benchmarks.corpus.find_lr [--only TEXT] [--most N]     # train what is missing; restartable, case by case
    python -m benchmarks.corpus.find_lr --scores                     # what came of it: benchmarks/corpus/FIND_LR.md

A case is a model, a text, a LoRA configuration, an optimizer and a seed. The script keeps the sweep of each case, and
the held-out losses after runs at every rate of a grid and at the suggested rate. ``gain`` is the fall of the held-out
loss as a share of the best run's. Everything takes some 50 minutes of one core.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from benchmarks.corpus import larger, markdown, plan
from benchmarks.corpus.generate import load_all
from benchmarks.corpus.labels import GOOD as GOOD_RUN
from benchmarks.corpus.models import minilm, smollm2
from benchmarks.corpus.plan import HELD_OUT_SEED, SEEDS
from benchmarks.corpus.tasks import CLASSES, TEXTS, classified, labelled
from lora_watch import find_learning_rate
from lora_watch.base.strict_json import strict_json
from lora_watch.demo import models, texts
from lora_watch.demo.tasks import mean_loss
from lora_watch.rules import AggressiveScale
from lora_watch.tune.suggestion import Curve, Suggestion, estimate
from lora_watch.tune.sweep import BASELINE

RESULTS, SCORES = (Path(__file__).parent / name for name in ("find_lr.json", "FIND_LR.md"))
GRID = {
    "tiny": tuple(2.0**k for k in range(-4, 0)),
    "minilm": tuple(2.0**k for k in range(-5, -2)),
    "smollm2": tuple(2.0**k for k in range(-3, 0)),
    "sgd": tuple(2.0**k for k in range(-3, 2)),
}
"""Rates of the grid, relative to its centre: the rate whose first full step of Adam has the size 1. For SGD the centre
is the rate of the sweep's lowest loss. The first cases had two to four more rates; none of these was ever the best."""
CUSTOMARY = 2e-4
LEFT_OUT = "smollm2"
"""The model that no choice was made on."""
GOOD, BAD = 0.9, 0.5
ABOUT_LARGER = (
    "Tokens: of a batch of the sweep. The runs at its rate have the grid's batches of 128, and 24 steps. The gain is a "
    "share of that of the best run of all linear layers on the same text (`larger.py --sweeps`)."
)


@dataclass(frozen=True)
class Case:
    base: str
    task: str
    r: int
    scale: float
    optimizer: str = "adamw_torch"
    seed: int = 0
    batch: int = 8
    """Examples of an optimizer step."""

    @property
    def name(self) -> str:
        batch = "" if self.batch == 8 else f"_b{self.batch}"
        return f"{self.base}_{self.task}_r{self.r}_s{self.scale:g}_{self.optimizer}_seed{self.seed}{batch}"

    @property
    def steps(self) -> int:
        return {"tiny": 40, "minilm": 30, "smollm2": 10}[self.base]

    @property
    def untouched(self) -> bool:
        """Nothing was chosen on it."""
        return self.seed == HELD_OUT_SEED or self.base == LEFT_OUT


def cases() -> Iterator[Case]:
    """Those that choices are made on first, then those that nothing was chosen on."""
    chosen = [seed for seed in SEEDS if seed != HELD_OUT_SEED]
    for seed in chosen:
        yield from _both(seed)
    for seed in chosen:
        yield from _for_choices(seed)
    yield from _both(HELD_OUT_SEED)
    yield from _fresh(HELD_OUT_SEED)


def _both(seed: int) -> Iterator[Case]:
    """Settings that every seed has."""
    yield Case("tiny", "python", 8, 2.0, seed=seed)
    yield Case("tiny", "python", 8, 16.0, seed=seed)
    yield Case("tiny", "news", 4, 4.0, seed=seed)
    yield Case("tiny", "manual", 64, 0.5, seed=seed)
    yield Case("tiny", "manual", 16, 1.0, "adafactor", seed)
    yield Case("tiny", "python", 8, 2.0, "sgd", seed)
    yield Case("minilm", "topics", 8, 2.0, seed=seed)
    yield Case("minilm", "sports", 16, 4.0, seed=seed)


def _for_choices(seed: int) -> Iterator[Case]:
    """Cases that show an encoder's edge, and a sweep under noise."""
    yield Case("minilm", "topics", 32, 1.0, seed=seed)
    yield Case("minilm", "politics", 4, 8.0, seed=seed)
    yield Case("tiny", "python", 8, 2.0, seed=seed, batch=2)
    yield Case("tiny", "manual", 16, 1.0, "adafactor", seed, batch=4)
    yield Case("tiny", "news", 16, 2.0, seed=seed, batch=2)


def _fresh(seed: int) -> Iterator[Case]:
    """Texts, tasks and settings that no other seed has."""
    yield Case("tiny", "headers", 8, 2.0, seed=seed)
    yield Case("tiny", "headers", 16, 0.5, seed=seed)
    yield Case("tiny", "headers", 8, 2.0, "adafactor", seed)
    yield Case("tiny", "news", 32, 8.0, seed=seed)
    yield Case("tiny", "manual", 4, 16.0, seed=seed)
    yield Case("tiny", "python", 64, 1.0, seed=seed)
    yield Case("tiny", "manual", 8, 2.0, "sgd", seed)
    yield Case("minilm", "kinds", 16, 2.0, seed=seed)
    yield Case(LEFT_OUT, "python", 8, 4.0, seed=seed, batch=4)
    yield Case("minilm", "kinds", 4, 1.0, "adafactor", seed)
    yield Case("minilm", "topics", 4, 8.0, seed=seed)
    yield Case("minilm", "sports", 64, 0.5, seed=seed)
    yield Case(LEFT_OUT, "news", 16, 1.0, seed=seed, batch=16)


@functools.cache
def data(base: str, task: str) -> tuple[list[Any], list[Any]]:
    """``(train, held_out)`` examples."""
    if base == "minilm":
        _, tokenizer = minilm(CLASSES[task])
        train, held_out = texts.split(classified(task))
        return labelled(train[:600], tokenizer, 32), labelled(held_out[:100], tokenizer, 32)
    train, held_out = texts.split(TEXTS[task]())
    tokenizer = models.tiny_llama()[1] if base == "tiny" else smollm2()[1]
    length = 64 if base == "tiny" else 32
    return texts.blocks(train, tokenizer, 480, length), texts.blocks(held_out, tokenizer, 32, length)


def build(case: Case, folder: str, rate: float = CUSTOMARY) -> Trainer:
    """A Trainer whose start depends on the seed alone."""
    set_seed(case.seed)
    encoder = case.base == "minilm"
    if encoder:
        model = minilm(CLASSES[case.task])[0]
    else:
        model = models.tiny_llama()[0] if case.base == "tiny" else smollm2()[0]
    lora = LoraConfig(
        r=case.r,
        lora_alpha=case.scale * case.r,  # type: ignore[arg-type]
        target_modules=["query", "key", "value", "dense"] if encoder else "all-linear",
        task_type="SEQ_CLS" if encoder else "CAUSAL_LM",
        modules_to_save=["classifier"] if encoder else None,
    )
    at_once = min(case.batch, 4 if case.base == LEFT_OUT else 8)
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=case.steps,
        learning_rate=rate,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=case.batch // at_once,
        optim=case.optimizer,
        seed=case.seed,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        dataloader_pin_memory=False,
        disable_tqdm=True,
    )
    trainer = Trainer(get_peft_model(model, lora), arguments, train_dataset=data(case.base, case.task)[0])  # type: ignore[arg-type]
    trainer.remove_callback(PrinterCallback)
    return trainer


def run_at(case: Case, rate: float) -> float:
    """The held-out loss after a run at ``rate``."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(case, folder, rate)
        trainer.train()
        return mean_loss(trainer.model, data(case.base, case.task)[1])


def sweep_of(case: Case) -> tuple[Suggestion, float]:
    """The sweep of a case, and its held-out loss before any step."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(case, folder)
        found = find_learning_rate(trainer)
        return found, mean_loss(trainer.model, data(case.base, case.task)[1])


def work(case: Case, kept: dict[str, Any], save: Callable[[], None]) -> None:
    """Train what is missing of ``case``."""
    began = time.process_time()
    if "sweep" not in kept:
        found, before = sweep_of(case)
        kept |= {"case": asdict(case), "before": before, "sweep": json.loads(strict_json(found.to_dict()))}
        del kept["sweep"]["sentences"], kept["sweep"]["curve"]["smoothed"]  # they follow from the rest
        by_step = None if case.optimizer == "sgd" or not found.predicted else 10 * found.predicted
        centre = by_step or found.lowest_loss_at or CUSTOMARY
        kept["rates"] = [centre * factor for factor in GRID.get(case.optimizer, GRID[case.base])] + [CUSTOMARY]
        save()
    for key in lacking(kept):
        kept.setdefault("runs", {})[key] = run_at(case, float(key))
        save()
    kept["seconds"] = kept.get("seconds", 0.0) + time.process_time() - began
    save()


def lacking(kept: dict[str, Any]) -> list[str]:
    """Rates of a case that has been swept at which no run was made: of the grid, or what is suggested by now."""
    rates = [*kept["rates"], suggested(kept) or range_centre(kept)]
    return [key for rate in rates if rate is not None and (key := f"{rate:.6g}") not in kept.get("runs", {})]


def steepest_at(curve: Curve, beta: float = 0.98) -> float | None:
    """The rate at which the loss falls fastest a step, as Lightning's finder suggests. The loss is an exponential mean,
    without the first 10 steps and the last one."""
    weights = np.cumsum(beta ** np.arange(len(curve)))
    mean = np.array([np.dot(curve.losses[: i + 1], beta ** np.arange(i, -1, -1)) for i in range(len(curve))]) / weights
    slopes = np.gradient(mean[BASELINE:-1]) if len(curve) > BASELINE + 3 else np.zeros(0)
    known = np.isfinite(slopes)
    return float(curve.rates[BASELINE:-1][known][int(np.argmin(slopes[known]))]) if known.any() else None


def curve_of(kept: dict[str, Any]) -> tuple[Curve, float | None]:
    """The sweep of a case as it was."""
    sweep = kept["sweep"]
    arrays = [np.array([float(x) for x in sweep["curve"][name]]) for name in ("rate", "loss", "output_ratio")]
    return Curve(*arrays), sweep["edge"]


def estimated(kept: dict[str, Any]) -> Suggestion:
    """The estimate of today for the sweep that was made."""
    return estimate(*curve_of(kept), kept["case"]["base"] == "minilm", kept["sweep"]["predicted"])


def suggested(kept: dict[str, Any]) -> float | None:
    """The rate that the program as it is suggests for the sweep that was made."""
    rate = estimated(kept).rate
    return None if rate is None else float(f"{rate:.2g}")


def range_centre(kept: dict[str, Any]) -> float | None:
    """Of the range that is left where no rate is suggested."""
    found = estimated(kept)
    return None if found.low is None or found.high is None else float(f"{math.sqrt(found.low * found.high):.2g}")


def gain(kept: dict[str, Any], rate: float | None) -> float:
    """Of a run at ``rate``: measured, or on a line between its neighbours (over the logarithm of the rate). NaN without
    a rate; below and above all runs that of the nearest one."""
    if rate is None or not rate > 0 or not kept["runs"]:
        return math.nan
    points = sorted((float(key), _loss(value)) for key, value in kept["runs"].items())
    best = min(loss for _, loss in points)
    gains = [max((kept["before"] - loss) / (kept["before"] - best), -1.0) for _, loss in points]
    return float(np.interp(math.log(rate), [math.log(at) for at, _ in points], gains))


WAYS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "the sweep's suggestion": suggested,
    "the suggestion, or the middle of the range": lambda kept: suggested(kept) or range_centre(kept),
    "2e-4 as everybody copies it": lambda kept: CUSTOMARY,
    "`advise`'s formula": lambda kept: kept["sweep"]["predicted"],
    "steepest fall of the same sweep": lambda kept: steepest_at(curve_of(kept)[0]),
}


def table(cases: Sequence[dict[str, Any]]) -> list[str]:
    """A row a way of choosing the rate."""
    lines = [
        "| rate from | cases with one | gain ≥ 0.9 | gain < 0.5 | median | worst |",
        "|---|---|---|---|---|---|",
    ]
    for name, way in WAYS.items():
        gains = [g for kept in cases if not math.isnan(g := gain(kept, way(kept)))]
        if gains:
            good, bad = (sum(test) for test in ([g >= GOOD for g in gains], [g < BAD for g in gains]))
            lines.append(
                f"| {name} | {len(gains)}/{len(cases)} | {good}/{len(gains)} | {bad}/{len(gains)} | "
                f"{np.median(gains):.2f} | {min(gains):.2f} |"
            )
    return lines


def too_fast(cases: Sequence[dict[str, Any]]) -> str:
    """LW401 on the runs of the grids. A first step at the rate that `advise` predicts is a useful one."""
    known = [kept for kept in cases if kept["sweep"]["predicted"]]
    steps = [(float(at) / kept["sweep"]["predicted"], gain(kept, float(at))) for kept in known for at in kept["runs"]]
    warned = [share for step, share in steps if step > AggressiveScale.useful_steps]
    largest = max(step for step, share in steps if share >= GOOD_RUN)
    return (
        f"LW401 warns of {len(warned)} of {len(steps)} runs. The best of them has a gain of {max(warned):.2f}. The "
        f"first step of runs with {GOOD_RUN} of the best gain or more is up to {largest:.2g} useful ones."
    )


def scores(results: dict[str, Any]) -> str:
    """The page."""
    done = [kept for kept in results.values() if "seconds" in kept]
    chosen = [kept for kept in done if not Case(**kept["case"]).untouched]
    stated = [kept for kept in done if Case(**kept["case"]).untouched]
    rows = [
        "| case | suggested | range | edge | best of the grid | gain at the suggestion |",
        "|---|---|---|---|---|---|",
    ]
    for name, kept in sorted(results.items()):
        if "seconds" in kept:
            rows.append(f"| {name} | {' | '.join(_cells(kept))} |")
    spent = sum(kept["seconds"] for kept in done) / 60
    parts = [
        "# The learning rate that a sweep suggests",
        f"Written by `python -m benchmarks.corpus.find_lr --scores`: {len(done)} cases, {spent:.0f} minutes of a core.",
        f"## On what nothing was chosen on ({len(stated)} cases: seed {HELD_OUT_SEED}, and {LEFT_OUT})",
        "\n".join(table(stated)),
        f"## On the other seeds ({len(chosen)} cases)",
        "\n".join(table(chosen)),
        "Gains at rates that no run was made at are read off the line between the two nearest.",
        "## On larger models (nothing was chosen on them)",
        f"{markdown.table(larger.SWEEP_HEADS, larger.by_a_sweep(load_all(plan.larger())))}\n\n{ABOUT_LARGER}",
        "## Rates that are too high, all cases",
        too_fast(done),
        "## Case by case",
        "\n".join(rows),
    ]
    return "\n\n".join(parts) + "\n"


def _cells(kept: dict[str, Any]) -> list[str]:
    found, edge, rate = estimated(kept), kept["sweep"]["edge"], suggested(kept)
    best = min(kept["runs"], key=lambda key: _loss(kept["runs"][key]), default=None)
    taken = rate or range_centre(kept)
    return [
        "–" if rate is None else f"{rate:g}",
        f"{found.low:.2g} to {found.high:.2g}" if found.low and found.high else "–",
        "–" if edge is None else f"{edge:.2g}",
        "–" if best is None else f"{float(best):.2g}",
        "–" if taken is None else f"{gain(kept, taken):.2f}" + " (middle)" * (rate is None),
    ]


def _loss(value: float | str) -> float:
    """As a number that compares: what is not finite is infinite."""
    return float(value) if math.isfinite(float(value)) else math.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only cases whose name holds this text")
    parser.add_argument("--most", type=int, default=10**6, help="train so many cases at most")
    parser.add_argument("--scores", action="store_true", help="write FIND_LR.md from what is there")
    wanted = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if wanted.scores:
        SCORES.write_text(scores(results), encoding="utf-8")
        print(SCORES.read_text(encoding="utf-8"))
        return
    torch.set_num_threads(1)

    def save() -> None:
        part = RESULTS.with_suffix(".part")
        part.write_bytes(strict_json(results))
        part.replace(RESULTS)

    known = {case: results.get(case.name, {}) for case in cases() if wanted.only in case.name}
    missing = [case for case, kept in known.items() if "seconds" not in kept or lacking(kept)]
    for case in missing[: wanted.most]:
        work(case, results.setdefault(case.name, {}), save)
        kept = results[case.name]
        print(
            f"{case.name}: {suggested(kept)}, gain {gain(kept, suggested(kept)):.2f}, {kept['seconds']:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
