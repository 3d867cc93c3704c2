"""How does the best peak learning rate of a LoRA run move with the number of its steps, and with its batches?

Train what is missing; restartable, run by run::

    python -m benchmarks.lengths [--only TEXT] [--minutes N]

Write the tables into LENGTHS.md and the picture into docs/, or try a few short runs that are not kept::

    python -m benchmarks.lengths --write
    python -m benchmarks.lengths --quick

A family is a model, a text, a scale, a schedule and a seed that no threshold was chosen on. Its rates are powers of two
times 0.001. At each length the rate of the lowest held-out loss is looked for until both its neighbours are there too;
other rates are not run. The best rate is the vertex of the parabola through these three, over the rate's logarithm. A
run with a constant rate is measured at every length that it passes: it is a run of each of them.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from benchmarks.corpus.generate import everyday_data, train
from benchmarks.corpus.markdown import table
from benchmarks.corpus.plan import Spec
from lora_watch.base.strict_json import strict_json
from lora_watch.demo.tasks import mean_loss
from lora_watch.rules.forecast import LENGTH_EXPONENT, LENGTH_LAW, at_steps

RESULTS = Path(__file__).with_name("lengths.json")
PAGE = Path(__file__).with_name("LENGTHS.md")
DOCS = Path(__file__).resolve().parents[1] / "docs"
SEEDS = (21, 22)
"""Of no other run of the corpus."""
RATES = tuple(1e-3 * 2.0**k for k in range(-4, 7))
LENGTHS = {"tiny": (40, 150, 600, 2000), "minilm": (12, 40, 150, 600), "smollm2": (25, 100)}
FIRST = {"tiny": 8e-3, "minilm": 2e-3, "smollm2": 2e-3}
"""The search for the best rate begins here at scale 2."""
BATCH, OF_BATCHES = 4, 150
"""Examples a batch; and the steps of runs with other batches."""
NAMES = {"tiny": "packaged Llama", "minilm": "MiniLM", "smollm2": "SmolLM2"}
TEXT = "python"
"""The power is chosen on the packaged Llama with this text; that of classifiers on the first seed of MiniLM."""
Runs = dict[str, dict[str, Any]]
"""Held-out losses of finished runs, by ``Family.run_name``."""


@dataclass(frozen=True)
class Family:
    """Runs that differ in rate and length alone."""

    base: str
    task: str
    schedule: str = "linear"
    scale: float = 2.0
    seed: int = SEEDS[0]
    batch: int = BATCH

    @property
    def name(self) -> str:
        batch = "" if self.batch == BATCH else f" b{self.batch}"
        return f"{self.base} {self.task} {self.schedule} s{self.scale:g} seed{self.seed}{batch}"

    @property
    def lengths(self) -> tuple[int, ...]:
        return LENGTHS[self.base] if self.batch == BATCH else (OF_BATCHES,)

    def run_name(self, rate: float, steps: int) -> str:
        return f"{self.name} lr{rate:g} n{steps}"

    def spec(self, rate: float, steps: int) -> Spec:
        """r 8, AdamW, batches of 4 × 64 tokens, of 4 × 32 for SmolLM2; no example comes twice while the text lasts.

        Runs with a constant rate have the data of the longest, for a shorter one is its beginning.
        """
        steps = self.lengths[-1] if self.schedule == "constant" else steps
        length = 32 if self.base == "smollm2" else 64
        settings = {"scale": self.scale, "schedule": self.schedule, "seed": self.seed}
        return Spec(self.base, self.task, lr=rate, steps=steps, batch=self.batch, length=length, **settings)

    @property
    def classifies(self) -> bool:
        return self.base == "minilm"

    @property
    def chosen_on(self) -> bool:
        if self.classifies:
            return self.seed == SEEDS[0] and self.schedule == "linear"
        return self.base == "tiny" and self.task == TEXT and self.scale == 2 and self.schedule == "linear"


def families() -> Iterator[Family]:
    """Each of them tells more than those after it."""
    second = SEEDS[1]
    yield Family("tiny", "python")
    yield Family("tiny", "headers")
    yield Family("tiny", "python", "constant")
    yield Family("tiny", "news")
    yield Family("tiny", "python", scale=8.0)
    yield Family("tiny", "python", scale=1.0)
    yield Family("minilm", "topics")
    yield Family("smollm2", "headers")
    yield Family("tiny", "headers", "constant")
    yield Family("minilm", "kinds")
    yield Family("tiny", "python", seed=second)
    yield Family("minilm", "topics", "constant")
    yield Family("tiny", "headers", scale=8.0)
    yield Family("tiny", "headers", scale=1.0)
    yield Family("tiny", "headers", seed=second)
    yield Family("tiny", "news", "constant")
    yield Family("minilm", "topics", seed=second)
    yield Family("smollm2", "news")


def batches() -> Iterator[Family]:
    """The first family and the first encoder, with smaller batches and larger ones."""
    for base, task in (("tiny", "python"), ("minilm", "topics"), ("tiny", "headers")):
        yield from (Family(base, task, batch=batch) for batch in (1, 16, 2))


def plan() -> Iterator[tuple[Family, int]]:
    """Families, and up to which length each is run: three up to 600 steps, one in full, the others, then the rest."""
    every = list(families())
    yield from ((family, 600) for family in every[:3])
    yield every[0], every[0].lengths[-1]
    yield from ((family, 600) for family in every[3:])
    yield from ((family, OF_BATCHES) for family in batches())
    yield from ((family, family.lengths[-1]) for family in every)


# -- training ----------------------------------------------------------------------------------------------------------
class AtLengths(TrainerCallback):
    """Measures the held-out loss of a run with a constant rate at every length that it passes."""

    def __init__(self, lengths: Sequence[int], held_out: Any):
        self.lengths, self.held_out = lengths, held_out
        self.losses: dict[str, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step in self.lengths:
            self.losses[str(state.global_step)] = mean_loss(model, self.held_out)


def trained(family: Family, rate: float, steps: int) -> dict[str, Any]:
    """The held-out loss before and after the run, and the core's seconds; no monitor takes part."""
    began, spec = time.process_time(), family.spec(rate, steps)
    passed = [n for n in family.lengths if n < steps] if family.schedule == "constant" else []
    seen = AtLengths(passed, everyday_data(spec)[1] if passed else [])
    with tempfile.TemporaryDirectory() as folder:
        arguments = {"max_steps": steps, "logging_strategy": "no", "optim": "adamw_torch_fused"}
        _, before, after = train(spec, folder, seen, arguments=arguments)
    losses = seen.losses | {str(steps): after}
    return {"rate": rate, "before": before, "after": losses, "seconds": time.process_time() - began}


def losses_at(runs: Runs, family: Family, steps: int) -> dict[float, float]:
    """Held-out loss by rate after ``steps`` steps; what is not finite is infinite."""
    found = {}
    for name, run in runs.items():
        if name.startswith(f"{family.name} lr") and (loss := run["after"].get(str(steps))) is not None:
            found[run["rate"]] = float(loss) if math.isfinite(float(loss)) else math.inf
    return dict(sorted(found.items()))


def next_rate(losses: dict[float, float], start: float) -> float | None:
    """The rate to run next: ``start``, then the neighbours of the lowest loss; None once both are there."""
    if not losses:
        return start
    at = min(range(len(RATES)), key=lambda i: losses.get(RATES[i], math.inf))
    around = [RATES[i] for i in (at - 1, at + 1) if 0 <= i < len(RATES)]
    return next((rate for rate in around if rate not in losses), None)


def missing(runs: Runs, family: Family, longest: int) -> tuple[float, int] | None:
    """``(rate, steps)`` of the family's next run; None when it is complete up to the length ``longest``.

    Shortest first, where each length begins at the best rate of the one before. With a constant rate longest first.
    """
    start = min(RATES, key=lambda rate: abs(math.log(rate / FIRST[family.base] * (family.scale / 2) ** 0.7)))
    lengths = [n for n in family.lengths if n <= longest]
    if family.schedule == "constant":
        start = RATES[RATES.index(start) - 1]
        lengths.reverse()
    for steps in lengths:
        losses = losses_at(runs, family, steps)
        if (rate := next_rate(losses, start)) is not None:
            return rate, steps
        start = min(losses, key=losses.__getitem__)
    return None


# -- what came of it ---------------------------------------------------------------------------------------------------
def best_rate(losses: dict[float, float]) -> float | None:
    """Vertex of the parabola through the lowest loss and its neighbours; None where one of them was not run."""
    if not losses or next_rate(losses, 0.0) is not None:
        return None
    at = RATES.index(min(losses, key=losses.__getitem__))
    if not 0 < at < len(RATES) - 1:
        return None
    below, lowest, above = (losses[RATES[i]] for i in (at - 1, at, at + 1))
    if math.isinf(above):
        return RATES[at]
    return RATES[at] * 2.0 ** (0.5 * (below - above) / (below - 2 * lowest + above))


def best_rates(runs: Runs, family: Family) -> dict[int, float]:
    """By length, as far as known."""
    found = {n: best_rate(losses_at(runs, family, n)) for n in family.lengths}
    return {n: rate for n, rate in found.items() if rate is not None}


def power(best: dict[int, float]) -> float | None:
    """p of best rate ∝ steps^−p by least squares over the logarithms; None for fewer than two lengths."""
    if len(best) < 2:
        return None
    return -float(np.polyfit(np.log(list(best)), np.log(list(best.values())), 1)[0])


def chosen_power(runs: Runs) -> float:
    """Of language models: the mean of the families that it is chosen on."""
    chosen = [family for family in families() if family.chosen_on and not family.classifies]
    powers = [p for family in chosen if (p := power(best_rates(runs, family))) is not None]
    return float(np.mean(powers)) if powers else math.nan


def gain(runs: Runs, family: Family, steps: int, rate: float) -> float:
    """The fall of the held-out loss at ``rate`` as a share of that of the best run of this length, 1 at most.

    Between the neighbours of the lowest loss it is read off the parabola through the three. Elsewhere it is read off
    the line between the two nearest rates, over the logarithm, and beyond all rates that were run from the nearest.
    """
    losses = losses_at(runs, family, steps)
    before = next(run["before"] for name, run in runs.items() if name.startswith(f"{family.name} lr"))
    at = RATES.index(min(losses, key=losses.__getitem__))
    near = [math.log(x) for x in RATES[max(at - 1, 0) : at + 2] if math.isfinite(losses.get(x, math.inf))]
    x, lowest = math.log(rate), losses[RATES[at]]
    if len(near) == 3 and near[0] <= x <= near[2]:
        curve = np.polyfit(near, [losses[rate] for rate in RATES[at - 1 : at + 2]], 2)
        loss = float(np.polyval(curve, x))
    else:
        highest = 2 * before - lowest  # as much worse as the best run is better, so that what diverged can be drawn
        loss = float(np.interp(x, np.log(list(losses)), [min(loss, highest) for loss in losses.values()]))
    return min((before - loss) / (before - lowest), 1.0)


HEADS = ("model", "text or task", "schedule", "s")


def rates_table(runs: Runs) -> str:
    """A row a family: its best rate at each length, and the power. Other lengths stand in the nearest column."""
    columns, rows = sorted({*LENGTHS["tiny"], *LENGTHS["minilm"]}), []
    for family in families():
        if not (best := best_rates(runs, family)):
            continue
        cells = ["not run"] * len(columns)
        for n, rate in best.items():
            i = int(np.argmin(np.abs(np.log(np.array(columns) / n))))
            cells[i] = f"{rate:.2g}" + f" ({n} steps)" * (n != columns[i])
        p = power(best)
        rows.append([*described(family), *cells, "–" if p is None else f"{p:.2f}"])
    return table([*HEADS, *(f"{n} steps" for n in columns), "p"], rows)


def described(family: Family) -> list[str]:
    second = "" if family.seed == SEEDS[0] else ", second seed"
    return [NAMES[family.base], family.task + second, family.schedule, f"{family.scale:g}"]


def batches_table(runs: Runs) -> str:
    """A row a model and text: its best rate with each batch, and the power by which it rises."""
    sizes, rows = sorted({family.batch for family in batches()} | {BATCH}), []
    for base, task in dict.fromkeys((family.base, family.task) for family in batches()):
        known = {n: best_rates(runs, Family(base, task, batch=n)).get(OF_BATCHES) for n in sizes}
        best = {n: rate for n, rate in known.items() if rate is not None}
        if (p := power(best)) is not None:
            cells = [f"{best[n]:.2g}" if n in best else "not run" for n in sizes]
            rows.append([NAMES[base], task, *cells, f"{-p:.2f}"])
    return table(["model", "text or task", *(f"batches of {n}" for n in sizes), "q"], rows)


def checks_table(runs: Runs) -> str:
    """The longest runs of each family: their gains at the best rate of the shortest ones, and at that rate as the law
    of the product lowers it."""
    rows = []
    for family in families():
        if len(best := best_rates(runs, family)) < 2:
            continue
        short, steps = min(best), max(best)
        factor = at_steps(1.0, short, steps, family.classifies)
        plain, lowered = (gain(runs, family, steps, best[short] * by) for by in (1.0, factor))
        found = f"{best[steps] / best[short]:.2f}", f"{factor:.2f}", f"{plain:.3f}", f"{lowered:.3f}"
        rows.append([*described(family), f"{short} → {steps}", *found, "yes" if family.chosen_on else "no"])
    heads = ["steps", "best rate falls to", "the law says", "gain at the short run's rate", "at the lowered rate"]
    return table([*HEADS, *heads, "chosen on it"], rows)


def picture(runs: Runs) -> str:
    """SVG: the loss over the rate for each length of the first family, and how the best rates of all fall."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = next(families())
    for steps in shown.lengths:
        if losses := losses_at(runs, shown, steps):
            left.plot(list(losses), list(losses.values()), marker="o", markersize=4, label=f"{steps} steps")
    left.set(xscale="log", xlabel="learning rate", ylabel="held-out loss", title=" ".join(described(shown)[:3]))
    tried = sorted({rate for steps in shown.lengths for rate in losses_at(runs, shown, steps)})
    left.set_xticks(tried, [f"{rate:g}" for rate in tried])
    left.set_xticks([], minor=True)
    left.legend(fontsize="small")
    colours = {"tiny": "#0072b2", "minilm": "#d55e00", "smollm2": "#009e73"}
    named: set[str] = set()
    for family in families():
        if len(best := best_rates(runs, family)) > 1:
            rates = np.array(list(best.values()))
            label = f"{NAMES[family.base]}, {family.schedule}"
            right.plot(
                list(best),
                rates / rates[0],
                color=colours[family.base],
                linestyle="-" if family.schedule == "linear" else "--",
                marker="o",
                markersize=3,
                linewidth=1.2,
                label=None if label in named else label,
            )
            named.add(label)
    for new_head, style in ((False, "-"), (True, ":")):
        lengths = LENGTHS["minilm" if new_head else "tiny"]
        steps = np.geomspace(lengths[0], lengths[-1], 60)
        law = [at_steps(1.0, lengths[0], round(n), new_head) for n in steps]
        label = f"the law{' with a new head' * new_head}"
        right.plot(steps, law, color="black", linewidth=2.5, linestyle=style, alpha=0.35, label=label)
    right.set(xscale="log", yscale="log", xlabel="steps", title="best rate, relative to the shortest run's")
    right.set_yticks(shares := [0.1, 0.25, 0.4, 0.5, 0.6, 0.8, 1.0], [f"{share:g}" for share in shares])
    right.set_yticks([], minor=True)
    right.set_xticks(steps := (12, *LENGTHS["tiny"]), [str(n) for n in steps])
    right.set_xticks([], minor=True)
    right.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "lengths", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def section(runs: Runs) -> str:
    """The tables of LENGTHS.md."""
    minutes = sum(run["seconds"] for run in runs.values()) / 60
    of_a_head, _, longest = LENGTH_LAW[True]
    parts = [
        f"{len(runs)} runs, {minutes:.0f} minutes of a core. The best rate falls as steps^−p:",
        rates_table(runs),
        f"The law is p = {LENGTH_EXPONENT:g}, and p = {of_a_head:g} up to {longest} "
        "steps with a new head (MiniLM). The longest runs of each row with it and without it:",
        checks_table(runs),
        f"At {OF_BATCHES} steps, with linear decay and s = 2, it rises with the batch as batch^q:",
        batches_table(runs),
    ]
    return "\n\n".join(parts)


def write(runs: Runs) -> None:
    PAGE.write_text(f"# The length of the run\n\n{section(runs)}\n", encoding="utf-8")
    (DOCS / "lengths.svg").write_text(picture(runs), encoding="utf-8")


# -- the command -------------------------------------------------------------------------------------------------------
def load() -> Runs:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def save(runs: Runs) -> None:
    part = RESULTS.with_suffix(".part")
    part.write_bytes(strict_json(runs))
    part.replace(RESULTS)


def quick() -> None:
    """Two short runs of each schedule."""
    for schedule in ("linear", "constant"):
        family = Family("tiny", TEXT, schedule)
        for rate in (2e-3, 8e-3):
            run = trained(family, rate, 60 if schedule == "constant" else 20)
            print(family.run_name(rate, 20), {n: round(loss, 3) for n, loss in run["after"].items()}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only families whose name holds this text")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no run after so many minutes")
    parser.add_argument("--write", action="store_true", help="write LENGTHS.md and the picture in docs/")
    parser.add_argument("--quick", action="store_true", help="try it, and keep nothing")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    if wanted.quick:
        return quick()
    runs, ends = load(), time.monotonic() + 60 * wanted.minutes
    if wanted.write:
        return write(runs)
    for family, longest in plan():
        if wanted.only not in family.name or missing(runs, family, longest) is None or time.monotonic() >= ends:
            continue
        while time.monotonic() < ends and (run := missing(runs, family, longest)) is not None:
            name = family.run_name(*run)
            runs[name] = trained(family, *run)
            save(runs)
            said = {n: round(float(loss), 3) for n, loss in runs[name]["after"].items()}
            print(f"{name}: {said}, {runs[name]['seconds']:.0f} s", flush=True)
        best = {n: float(f"{rate:.3g}") for n, rate in best_rates(runs, family).items()}
        print(f"{family.name}: best {best}, p {power(best) or math.nan:.2f}", flush=True)


if __name__ == "__main__":
    main()
