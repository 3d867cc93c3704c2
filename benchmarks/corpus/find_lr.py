"""Does the rate that a sweep suggests train as well as the best of a grid? And the rates that people take without one?

    python -m benchmarks.corpus.find_lr [--only TEXT] [--most N]     # train what is missing; restartable, case by case
    python -m benchmarks.corpus.find_lr --scores                     # what came of it: benchmarks/corpus/FIND_LR.md

A case is a model, a text, a LoRA configuration, an optimizer and a seed. Of each are kept: the sweep, the held-out loss
after a run at every rate of a grid, and after one at the suggested rate. ``gain`` is the fall of the held-out loss as a
share of the best run's. Some 25 minutes of one core for everything.
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

from benchmarks.corpus.plan import HELD_OUT_SEED, SEEDS
from lora_watch import find_learning_rate
from lora_watch.demo import models, texts
from lora_watch.demo.tasks import mean_loss
from lora_watch.lr_finder import Curve, Suggestion
from lora_watch.lr_finder.estimate import estimate, steepest_at
from lora_watch.lr_finder.sweep import Edge
from lora_watch.strict_json import strict_json

RESULTS, SCORES = (Path(__file__).parent / name for name in ("find_lr.json", "FIND_LR.md"))
GRID = tuple(2.0**k for k in range(-6, 2))
"""Rates of the grid: relative to the one whose first full step of Adam has the size 1, for SGD to that of the lowest
loss of the sweep."""
CUSTOMARY = 2e-4
LEFT_OUT = "smollm2"
"""The model that no choice was made on."""
GOOD, BAD = 0.9, 0.5


@dataclass(frozen=True)
class Case:
    base: str
    task: str
    r: int
    scale: float
    optimizer: str = "adamw_torch"
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.base}_{self.task}_r{self.r}_s{self.scale:g}_{self.optimizer}_seed{self.seed}"

    @property
    def steps(self) -> int:
        return {"tiny": 40, "minilm": 30, "smollm2": 20}[self.base]

    @property
    def untouched(self) -> bool:
        """Nothing was chosen on it."""
        return self.seed == HELD_OUT_SEED or self.base == LEFT_OUT


def cases() -> Iterator[Case]:
    """What matters most first: whatever comes last is what is missing where the time was cut short."""
    first, last = (seed for seed in SEEDS if seed != HELD_OUT_SEED)
    for seed in (first, HELD_OUT_SEED):
        yield from _tiny(seed)
        yield Case("minilm", "topics", 8, 2.0, seed=seed)
    yield Case(LEFT_OUT, "python", 8, 4.0, seed=HELD_OUT_SEED)
    yield Case("minilm", "sport", 16, 4.0, seed=HELD_OUT_SEED)
    yield from _tiny(last)
    for seed in (first, last):
        yield Case("minilm", "sport", 16, 4.0, seed=seed)
    yield Case("minilm", "topics", 8, 2.0, seed=last)


def _tiny(seed: int) -> Iterator[Case]:
    yield Case("tiny", "python", 8, 2.0, seed=seed)
    yield Case("tiny", "python", 8, 16.0, seed=seed)
    yield Case("tiny", "news", 4, 4.0, seed=seed)
    yield Case("tiny", "manual", 64, 0.5, seed=seed)
    yield Case("tiny", "manual", 16, 1.0, "adafactor", seed)
    yield Case("tiny", "python", 8, 2.0, "sgd", seed)


@functools.cache
def data(base: str, task: str) -> tuple[list[Any], list[Any]]:
    """``(train, held_out)`` examples."""
    if base == "minilm":
        articles, classes = texts.bbc_news()
        if task == "sport":
            articles = [(text, int(classes[label] == "sport")) for text, label in articles]
        _, tokenizer = models.minilm(len(classes))
        train, held_out = texts.split(articles)
        return texts.labelled(train[:600], tokenizer, 32), texts.labelled(held_out[:100], tokenizer, 32)
    documents = {
        "python": texts.stdlib_text,
        "manual": texts.python_manual,
        "news": lambda: [text for text, _ in texts.bbc_news()[0]],
    }[task]()
    train, held_out = texts.split(documents)
    tokenizer = models.tiny_llama()[1] if base == "tiny" else models.smollm2()[1]
    length = 64 if base == "tiny" else 32
    return texts.blocks(train, tokenizer, 480, length), texts.blocks(held_out, tokenizer, 32, length)


def build(case: Case, folder: str, rate: float = CUSTOMARY) -> Trainer:
    """A Trainer whose start depends on the seed alone."""
    set_seed(case.seed)
    encoder = case.base == "minilm"
    if encoder:
        model = models.minilm(2 if case.task == "sport" else 5)[0]
    else:
        model = models.tiny_llama()[0] if case.base == "tiny" else models.smollm2()[0]
    lora = LoraConfig(
        r=case.r,
        lora_alpha=case.scale * case.r,  # type: ignore[arg-type]
        target_modules=["query", "key", "value", "dense"] if encoder else "all-linear",
        task_type="SEQ_CLS" if encoder else "CAUSAL_LM",
        modules_to_save=["classifier"] if encoder else None,
    )
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=case.steps,
        learning_rate=rate,
        per_device_train_batch_size=4 if case.base == "smollm2" else 8,
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
    """What a sweep finds, and the held-out loss before any step."""
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
        centre = found.lowest_loss_at if case.optimizer == "sgd" or not found.predicted else 10 * found.predicted
        grid = GRID[1:] if case.base != LEFT_OUT else GRID[3:6]
        kept["rates"] = [centre * factor for factor in grid] + [CUSTOMARY]
        save()
    runs = kept.setdefault("runs", {})
    unjudged = case.base == LEFT_OUT and suggested(kept) is None  # its runs take long
    for rate in [] if unjudged else [*kept["rates"], suggested(kept)]:
        if rate is not None and (key := f"{rate:.6g}") not in runs:
            runs[key] = run_at(case, float(key))
            save()
    kept["seconds"] = kept.get("seconds", 0.0) + time.process_time() - began
    save()


def curve_of(kept: dict[str, Any]) -> tuple[Curve, Edge | None]:
    """The sweep of a case as it was."""
    sweep = kept["sweep"]
    arrays = [np.array([float(x) for x in sweep["curve"][name]]) for name in ("rate", "loss", "output_ratio")]
    return Curve(*arrays), None if sweep["edge"] is None else Edge(sweep["edge"], sweep["edge_rule"])


def suggested(kept: dict[str, Any]) -> float | None:
    """The rate that the program as it is suggests for the sweep that was made."""
    rate = estimate(*curve_of(kept)).rate
    return None if rate is None else float(f"{rate:.2g}")


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
    "2e-4 as everybody copies it": lambda kept: CUSTOMARY,
    "`advise`'s formula": lambda kept: kept["sweep"]["predicted"],
    "steepest fall of the same sweep": lambda kept: steepest_at(curve_of(kept)[0]),
}


def table(told: Sequence[dict[str, Any]]) -> list[str]:
    """A row a way of choosing the rate."""
    lines = [
        "| rate from | cases with one | gain ≥ 0.9 | gain < 0.5 | median | worst |",
        "|---|---|---|---|---|---|",
    ]
    for name, way in WAYS.items():
        gains = [g for kept in told if not math.isnan(g := gain(kept, way(kept)))]
        if gains:
            good, bad = (sum(test) for test in ([g >= GOOD for g in gains], [g < BAD for g in gains]))
            lines.append(
                f"| {name} | {len(gains)}/{len(told)} | {good}/{len(gains)} | {bad}/{len(gains)} | "
                f"{np.median(gains):.2f} | {min(gains):.2f} |"
            )
    return lines


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
        "## Case by case",
        "\n".join(rows),
    ]
    return "\n\n".join(parts) + "\n"


def _cells(kept: dict[str, Any]) -> list[str]:
    found, edge, rate = estimate(*curve_of(kept)), kept["sweep"]["edge"], suggested(kept)
    best = min(kept["runs"], key=lambda key: _loss(kept["runs"][key]), default=None)
    return [
        "–" if rate is None else f"{rate:g}",
        f"{found.low:.2g} to {found.high:.2g}" if found.low and found.high else "–",
        "–" if edge is None else f"{edge:.2g}",
        "–" if best is None else f"{float(best):.2g}",
        "–" if rate is None else f"{gain(kept, rate):.2f}",
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

    missing = [case for case in cases() if wanted.only in case.name and "seconds" not in results.get(case.name, {})]
    for case in missing[: wanted.most]:
        work(case, results.setdefault(case.name, {}), save)
        kept = results[case.name]
        print(
            f"{case.name}: {suggested(kept)}, gain {gain(kept, suggested(kept)):.2f}, {kept['seconds']:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
