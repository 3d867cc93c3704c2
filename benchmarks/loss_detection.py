"""Claim: the loss rules are silent on clean losses, batch size 1 included, and find a lasting rise within steps.

    python benchmarks/loss_detection.py [--steps 150000] [--tuning]

The script counts alarms in 10,000 clean steps, synthetic and real, and the steps until a rule finds an event:

- The loss jumps to 1.5 times its level for good.
- The loss rises by 0.5 % a step, relative to its trend.
- The loss is three times as high for one step.
- The loss is NaN for one step.

The rules of other monitors (`corpus/peers.py`) run on the same losses. The script also prints a bound that no detector
passes.

Synthetic losses follow seven trends in turn, with noise of 2, 8 and 25 % a step. The noise has four kinds: log-normal;
fading to half; Student's t with five degrees of freedom; scaled by the length of a batch of one. Real losses are those
of `real_losses.npz` and the corpus's good runs. Thresholds were chosen on the losses of ``--tuning``: other random
numbers, the even seeds of the real runs, the corpus's development seeds. The losses without ``--tuning`` had no part
in the choice.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.corpus import peers
from benchmarks.corpus.generate import load_all
from benchmarks.corpus.labels import label
from benchmarks.real_losses import load
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.measurement.signals.loss import LossSignals
from lora_watch.rules import Episodes, LossDivergence, LossSpike, NonFiniteLoss
from lora_watch.rules.episodes import QUIET_STEPS

FloatArray = NDArray[np.float64]
Monitor = Callable[[FloatArray, FloatArray], list[tuple[int, str]]]
"""From the losses and gradient norms of a run to its alarms: ``(step from 1, rule)``, one for each episode."""

NOISE = {"2 %": 0.02, "8 %": 0.08, "25 %": 0.25}
TAILS = ("log-normal", "fading", "t₅", "lengths")
TRENDS = ("fall 30", "fall 100", "fall 300", "power", "level", "epochs", "knee")
ONE_IN = 20_000
"""Steps to one false alarm that a detector may make: 0.5 in 10,000."""
MISSED = 10**6
ONSET = 150
"""Steps before an event."""


# -- losses ------------------------------------------------------------------------------------------------------------
def trend(kind: str, steps: int) -> FloatArray:
    """A noiseless healthy loss ``[steps]``."""
    t = np.arange(steps, dtype=np.float64)
    if kind.startswith("fall"):
        return 1.5 + 1.5 * np.exp(-t / float(kind.split()[1]))
    if kind == "power":
        return 1.2 + 2.0 / np.sqrt(1.0 + t / 20.0)
    if kind == "epochs":
        return (1.5 + np.exp(-t / 200.0)) * 0.92 ** (t // 250)
    if kind == "knee":
        return np.maximum(3.0 - t / 80.0, 1.5)
    return np.full(steps, 2.0)


def noise(rng: np.random.Generator, tails: str, steps: int) -> FloatArray:
    """Noise of log loss with a standard deviation of about 1, ``[steps]``."""
    z = rng.standard_normal(steps)
    if tails == "fading":
        return z * (0.7 + 0.8 * np.exp(-np.arange(steps) / 150.0))
    if tails == "t₅":
        return rng.standard_t(5, steps) * math.sqrt(3.0 / 5.0)
    if tails == "lengths":
        lengths = np.arange(8, 65)
        return z / np.sqrt(rng.choice(lengths, steps) * np.mean(1.0 / lengths))
    return z


def clean(seed: int, number: int, level: float, tails: str, steps: int, kind: str | None = None) -> FloatArray:
    """The losses of one synthetic run; ``number`` chooses its trend in turn."""
    rng = np.random.default_rng([seed, number, round(1000 * level), TAILS.index(tails)])
    return trend(kind or TRENDS[number % len(TRENDS)], steps) * np.exp(level * noise(rng, tails, steps))


# -- monitors ----------------------------------------------------------------------------------------------------------
def ours(losses: FloatArray, grad_norms: FloatArray) -> list[tuple[int, str]]:
    """The alerts of LW201, LW202 and LW203 through everything live training has them pass."""
    signals, episodes, run = LossSignals(), Episodes([NonFiniteLoss(), LossDivergence(), LossSpike()]), RunInfo(())
    for step, loss in enumerate(losses.tolist(), 1):
        episodes.check(StepRecord(run, step, {}, loss=loss, scalars=signals.update(loss)))
    return [(alert.step, alert.rule) for alert in episodes.alerts]


def peer(rule: Callable[[peers.Trace], list[int]]) -> Monitor:
    """A peer's steps, gathered into episodes as ours are."""

    def alarms(losses: FloatArray, grad_norms: FloatArray) -> list[tuple[int, str]]:
        with np.errstate(all="ignore"):
            steps = rule(peers.Trace(losses, grad_norms, np.full(len(losses), math.nan)))
        return [(s, "") for i, s in enumerate(steps) if not i or s - steps[i - 1] > QUIET_STEPS + 1]

    return alarms


MONITORS: dict[str, Monitor] = {"lora_watch": ours, **{name: peer(rule) for name, rule in peers.PEERS.items()}}
GRADIENT_ONLY = ("ZClip, z > 2.5", "gradient norm > 10")
"""These look at nothing else, and synthetic losses have no gradients."""
ON_LOSSES = [name for name in MONITORS if name not in GRADIENT_ONLY]


# -- what is counted ---------------------------------------------------------------------------------------------------
def false_alarms(monitor: Monitor, runs: Iterable[tuple[FloatArray, FloatArray]]) -> str:
    """Alarms in 10,000 steps of ``runs``."""
    alarms = steps = 0
    for losses, grad_norms in runs:
        alarms, steps = alarms + len(monitor(losses, grad_norms)), steps + len(losses)
    return f"{1e4 * alarms / steps:.2f} ({alarms} in {steps:,})" if steps else "–"


def without_gradients(losses: Iterable[FloatArray]) -> Iterator[tuple[FloatArray, FloatArray]]:
    for series in losses:
        yield series, np.full(len(series), math.nan)


def delay(monitor: Monitor, losses: FloatArray, onset: int, rules: Sequence[str] = ()) -> int:
    """Steps from ``onset`` (index from 0) to the first alarm, that step counted; ``MISSED`` where there is none."""
    found = [s for s, rule in monitor(losses, np.full(len(losses), math.nan)) if not rule or rule in rules]
    return min((step - onset for step in found if step > onset), default=MISSED)


def delays(monitor: Monitor, runs: Iterable[FloatArray], onset: int, rules: Sequence[str]) -> str:
    """Median delay, and the share that was missed."""
    found = [delay(monitor, losses, onset, rules) for losses in runs]
    median, missed = sorted(found)[len(found) // 2], sum(d == MISSED for d in found) / len(found)
    return (f"{median}" if median < MISSED else "–") + (f" ({100 * missed:.0f} % missed)" if missed else "")


def with_event(losses: FloatArray, event: str, onset: int) -> FloatArray:
    out = losses.copy()
    if event == "× 1.5":
        out[onset:] *= 1.5
    elif event.startswith("+ 0.5 %"):
        out[onset:] *= 1.005 ** np.arange(1, len(out) - onset + 1)
    elif event == "× 3 once":
        out[onset] *= 3.0
    elif event == "NaN once":
        out[onset] = math.nan
    return out


LASTING, ANY = ("LW202",), ("LW201", "LW202", "LW203")
EVENTS = {
    "× 1.5": (None, LASTING),
    "+ 0.5 % a step, levelled off": ("level", LASTING),
    "+ 0.5 % a step, fall 100": ("fall 100", LASTING),
    "+ 0.5 % a step, any trend": (None, LASTING),
    "× 3 once": (None, ANY),
    "NaN once": (None, ANY),
}
"""Each with the trend beneath it (None: all in turn) and the rules of ours that count as finding it."""


def bound(event: str, level: float, kind: str) -> int:
    """Least mean delay of any detector that knows trend, noise and event and raises one false alarm in ``ONE_IN``.

    Lorden (1971), and Lai (1998) for changes that grow: the information that must come in is ln(``ONE_IN``) nats. It is
    that of the rise above the level before the event, since a fall that merely ends is to be no alarm.
    """
    losses = np.log(with_event(trend(kind, 1000), event, ONSET))
    rise = np.maximum(losses[ONSET:] - losses[ONSET - 1], 0.0)
    return int(np.searchsorted(np.cumsum((rise / level) ** 2) / 2.0, math.log(ONE_IN))) + 1


# -- the report --------------------------------------------------------------------------------------------------------
def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n{title}")
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150_000, help="clean steps at each level of noise")
    parser.add_argument("--tuning", action="store_true", help="the losses that thresholds were chosen on")
    options = parser.parse_args()
    seed = 0 if options.tuning else 1
    print(f"losses that {'thresholds were' if options.tuning else 'no threshold was'} chosen on")

    runs = max(options.steps // 4000, 1)
    few = max(runs // 5, 1)  # peers are slower, and far enough from ours
    rows = [
        [name, tails]
        + [
            false_alarms(m, without_gradients(clean(seed, i, level, tails, 1000) for i in range(n)))
            for m, n in [(MONITORS[x], runs if x == "lora_watch" else few) for x in ON_LOSSES]
        ]
        for name, level in NOISE.items()
        for tails in TAILS
    ]
    table("False alarms in 10,000 clean synthetic steps", ["noise", "kind", *ON_LOSSES], rows)

    real = {name: series for name, series in load().items() if int(name.partition("seed")[2]) % 2 == seed}
    rows = [
        [name, *(false_alarms(MONITORS[x], without_gradients([series])) for x in ON_LOSSES), "–", "–"]
        for name, series in real.items()
    ]
    cells = [false_alarms(MONITORS[x], without_gradients(real.values())) for x in ON_LOSSES]
    rows.append(["all of these", *cells, "–", "–"])
    traces = load_all()
    good = [s for s, o in label(traces).items() if o.label == "good" and s.held_out != options.tuning]
    series = [
        (np.array([r.loss for r in traces[s].records if r.step], dtype=np.float64), traces[s].grad_norm) for s in good
    ]
    names = [*ON_LOSSES, *GRADIENT_ONLY]
    rows.append([f"corpus, {len(good)} good runs", *(false_alarms(MONITORS[name], series) for name in names)])
    table("False alarms in 10,000 real clean steps", ["run", *names], rows)

    count, rows = min(max(options.steps // 500, 3), 60), []
    for event, (kind, rules) in EVENTS.items():
        for name, level in NOISE.items():
            spoiled = [
                with_event(clean(seed, 10_000 + i, level, "log-normal", 320, kind), event, ONSET) for i in range(count)
            ]
            beneath = "level" if event == "× 1.5" else kind
            least = str(bound(event, level, beneath)) if beneath else ""
            rows.append([event, name, least, *(delays(MONITORS[x], spoiled, ONSET, rules) for x in ON_LOSSES)])
    for name, level in NOISE.items():
        short = [with_event(clean(seed, i, level, "log-normal", 40, "fall 30"), "× 1.5", 27) for i in range(count)]
        cells = [delays(MONITORS[x], short, 27, LASTING) for x in ON_LOSSES]
        rows.append(["× 1.5 in a run of 40 steps", name, "", *cells])
    for name, losses in real.items():
        onsets = np.linspace(200, len(losses) - 200, count // 3).astype(int)
        pieces = [with_event(losses[o - 200 : o + 150], "× 1.5", 200) for o in onsets]
        rows.append(["× 1.5", name, "", *(delays(MONITORS[x], pieces, 200, LASTING) for x in ON_LOSSES)])
    title = "Median steps until an event is found (1: at once), after 150 steps or, in short runs, 28"
    table(title, ["event", "noise", "least possible", *ON_LOSSES], rows)


if __name__ == "__main__":
    main()
