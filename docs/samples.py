"""Writes what the pages quote from programs, after a message or a rule has changed: docs/rules/samples.json, one real
alert a rule, and the blocks of pages that follow a line such as ``<!-- sample: LW102 -->``.

    python docs/samples.py          two minutes

The rules of today raise the alerts of training on the stored traces of real runs (``benchmarks/corpus``). The rule that
should name an injected fault comes first. Runs made here give the alerts that the corpus lacks, and the gate's come
from short runs. An alert of training carries the curves for its page's picture: those of its run and of a healthy one.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.corpus.faults import FAULTS  # noqa: E402
from benchmarks.corpus.generate import Recorder, files, load_all  # noqa: E402
from benchmarks.corpus.labels import label  # noqa: E402
from benchmarks.corpus.replay import judge as replay  # noqa: E402
from benchmarks.corpus.traces import Trace, load  # noqa: E402
from lora_watch import Alert, LoraWatchCallback, find_learning_rate  # noqa: E402
from lora_watch.base.records import StepRecord  # noqa: E402
from lora_watch.gate import judge  # noqa: E402
from lora_watch.rules import NormExplosion  # noqa: E402
from lora_watch.rules.policy import RECOVERED  # noqa: E402
from lora_watch.runs.comparison import compare  # noqa: E402
from lora_watch.runs.comparison import text as comparison_in_words  # noqa: E402
from lora_watch.runs.run import latest_run  # noqa: E402
from tests.rules.runs import run  # noqa: E402
from tests.rules.test_chance import classifier, code_or_prose  # noqa: E402
from tests.rules.test_saving import StartsAnew, trainer  # noqa: E402
from tests.stored.saving import Damages, lose_a_layer  # noqa: E402
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model, train  # noqa: E402

TWINS = {"tiny": "tiny_python_r8_s2_lr0.002_b16_linear_seed0", "minilm": "minilm_news_r8_s2_lr0.001_b8_linear_seed0"}
"""Of each model of the corpus a run in which all is well."""
Sample = tuple[Alert, str, dict[str, Any]]


def of_training() -> Iterator[Sample]:
    bad = {spec.name for spec, outcome in label(load_all()).items() if outcome.bad}
    known = {name: trace for file in files() for name, trace in load(file).items()}

    def usual_first(name: str) -> tuple[bool, bool, bool, str]:
        """Runs with a fault, then bad ones, of the packaged model with a scale that is too high before others."""
        return "@" not in name, name not in bad, "tiny_python_r8_s16_" not in name, name

    others = []
    for name in sorted(known, key=usual_first):
        fault, trace = re.search(r"_([a-z0-9-]+)@", name), known[name]
        for alert in replay(trace):
            twin = TWINS.get(name.partition("_")[0])
            sample = alert, f"benchmarks/corpus, {name}", curves(alert, trace, known[twin]) if twin else {}
            if fault is None or alert.rule in FAULTS[fault[1]].rules[:1]:
                yield sample
            else:
                others.append(sample)
    yield from others


def curves(alert: Alert, trace: Trace, twin: Trace) -> dict[str, Any]:
    """The curves of an alert's picture: the loss, and its metric in the adapter that it names first, both runs."""
    metric = alert.metric if alert.metric and alert.metric in trace.records[-1].metrics else "delta_norm"
    adapter = alert.adapters[0][0] if alert.adapters else trace.records[0].run.adapters[0].name
    runs = {"fires": trace, "twin": twin}
    return {
        "step": alert.step,
        "metric": metric,
        "adapter": adapter,
        "threshold": alert.threshold if metric == alert.metric else None,
        "loss": {name: [_short(record.loss) for record in run.records[1:]] for name, run in runs.items()},
        "values": {
            name: [_short(_value(record, metric, adapter)) for record in run.records[1:]] for name, run in runs.items()
        },
    }


def _value(record: StepRecord, metric: str, adapter: str) -> float | None:
    names = [each.name for each in record.run.adapters]
    reading = record.metrics.get(metric)
    if reading is None or adapter not in names or not reading.known[names.index(adapter)]:
        return None
    return float(reading.values[names.index(adapter)])


def _short(value: float | None) -> float | None:
    """Four digits are enough for a picture; JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def of_own_runs() -> Iterator[Sample]:
    """Runs that the corpus lacks: each next to its twin, without the rules that would come first."""
    first = [NormExplosion(threshold_if_worse=1e9, threshold=1e9)]

    def trained(model: Any, lr: float, **rest: Any) -> tuple[list[Alert], Trace]:
        kept = Recorder()
        callback = LoraWatchCallback(console=False, tensorboard=False, rules=first, sinks=[kept])
        train(model, callbacks=[callback], lr=lr, **rest)
        assert callback.monitor is not None
        return callback.monitor.alerts, Trace({}, math.nan, math.nan, np.array([]), kept.records)

    texts: dict[str, Any] = {"dataset": code_or_prose(), "steps": 55, "per_device_train_batch_size": 8}
    for rule, make, rates, rest, words in (
        ("LW207", classifier, (3e-2, 5e-3), texts, "the packaged model as a classifier, lr 3e-2"),
    ):
        (alerts, fires), (_, twin) = (trained(make(), lr, **rest) for lr in rates)
        for alert in alerts:
            if alert.rule == rule:
                yield alert, f"a short run: {words}; LW102 muted", curves(alert, fires, twin)


def of_the_gate() -> Iterator[Sample]:
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "baseline": ({}, 12),
            "lora_alpha doubled": ({"alpha": 32}, 12),
            "q_proj alone": ({"targets": ["q_proj"]}, 8),
        }
        for name, (config, steps) in runs.items():
            out = str(Path(folder, name))
            train(
                lora(tiny_model(), **config), steps=steps, callbacks=[LoraWatchCallback(console=False)], output_dir=out
            )
        kept = latest_run(Path(folder, "baseline"))
        for name in list(runs)[1:]:
            for alert in judge([Path(folder, name)], baseline=kept).runs[0].findings:
                yield alert, f"lora-watch check of two short runs, {name}", {}


def of_a_recovery() -> Iterator[Sample]:
    with tempfile.TemporaryDirectory() as out:
        torch.manual_seed(0)
        callback = LoraWatchCallback(recover=3, console=False, tensorboard=False)
        train(lora(tiny_model(), alpha=128), steps=20, lr=1e-2, callbacks=[callback], output_dir=out)
        assert callback.monitor is not None
        for alert in callback.monitor.alerts:
            if alert.rule == RECOVERED:
                yield alert, "a short run of the packaged model, alpha 128 and learning rate 0.01 with recover=3", {}


def of_saves() -> Iterator[Sample]:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        cut, anew = Damages(lose_a_layer), StartsAnew()
        for out, callbacks, resumed, words in (
            (Path("out"), [cut], False, "a layer is cut out of its checkpoint"),
            (Path("out-2"), [anew], True, "its adapter is made anew on resume"),
        ):
            torch.manual_seed(0)
            if resumed:
                trainer(out, steps=4)[0].train()
            made, watch = trainer(out, *callbacks)
            made.train(resume_from_checkpoint=resumed)
            assert watch.monitor is not None
            for alert in watch.monitor.alerts:
                yield alert, f"a short run of the packaged model: {words}", {}
        for alert in run(lora(tiny_model().to(torch.bfloat16)), steps=6, lr=2e-5).alerts:
            if alert.rule == "LW316":
                yield alert, "a short run of the packaged model in bfloat16", {}


def sweep() -> str:
    """What a sweep prints."""
    torch.manual_seed(0)
    trainer = build_trainer(lora(tiny_model()), stdlib_blocks(512), steps=40, per_device_train_batch_size=8)
    return str(find_learning_rate(trainer))


def compared() -> str:
    """What ``lora-watch compare`` prints of three ranks at one alpha and one rate, three seeds each."""
    with tempfile.TemporaryDirectory() as folder:
        for r in (4, 8, 16):
            for seed in range(3):
                torch.manual_seed(seed)
                trainer = build_trainer(
                    lora(tiny_model(), r=r, alpha=16),
                    stdlib_blocks(512)[:480],
                    steps=30,
                    callbacks=[LoraWatchCallback(console=False)],
                    lr=0.01,
                    seed=seed,
                    per_device_train_batch_size=8,
                    eval_dataset=stdlib_blocks(512)[480:],
                    output_dir=f"{folder}/r{r}-seed{seed}",
                    report_to="tensorboard",
                )
                trainer.train()
                trainer.evaluate()
        return comparison_in_words(compare([folder]))


def _folded(text: str) -> str:
    return "\n".join(textwrap.fill(line, 118, subsequent_indent="    ") for line in text.splitlines())


def _in_rows(next_run: dict[str, Any]) -> str:
    """Its JSON with a row for each setting and each field."""
    settings = ",\n".join(f'  "{name}": {json.dumps(each)}' for name, each in next_run["settings"].items())
    rest = [
        f' "{name}": {json.dumps(each, ensure_ascii=False)}' for name, each in next_run.items() if name != "settings"
    ]
    return ",\n".join([f'{{"settings": {{\n{settings}}}', *rest]) + "}"


def _json(samples: dict[str, Any]) -> str:
    """Indented, but a curve is one line."""
    text = json.dumps(dict(sorted(samples.items())), indent=1, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text)


def main() -> None:
    samples: dict[str, dict[str, Any]] = {}
    next_run: dict[str, Any] = {}
    for find in (of_training, of_own_runs, of_the_gate, of_a_recovery, of_saves):
        for alert, source, drawn in find():
            if alert.rule == "LW102" and "LW102" not in samples and alert.next_run is not None:
                next_run = alert.next_run.to_dict()
            samples.setdefault(alert.rule, {"alert": str(alert), "from": source} | ({"curves": drawn} if drawn else {}))
    path = ROOT / "docs" / "rules" / "samples.json"
    path.write_text(_json(samples) + "\n", encoding="utf-8")
    print(f"{len(samples)} samples: {', '.join(sorted(samples))}")
    quoted = {id: _folded(samples[id]["alert"]) for id in ("LW102", "LW910")}
    quoted |= {"next_run": _in_rows(next_run), "sweep": sweep(), "compare": compared()}
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = before = page.read_text(encoding="utf-8")
        for name, shown in quoted.items():
            block = rf"(<!-- sample: {name} -->\n```\w*\n).*?(?=\n```)"
            text = re.sub(block, lambda found, shown=shown: found[1] + shown, text, flags=re.DOTALL)
        if text != before:
            page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
