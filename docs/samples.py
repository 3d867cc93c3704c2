"""Writes docs/rules/samples.json, one real alert a rule, and the README's: after a message or a rule has changed.

    python docs/samples.py          a minute or two

Alerts of training are what the rules raise today on the stored traces of real runs (``benchmarks/corpus``): of a fault
that was put in only the one that should name it. Those of settings come from settings, the gate's from short runs.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.corpus.faults import FAULTS  # noqa: E402
from benchmarks.corpus.replay import judge as replay  # noqa: E402
from benchmarks.corpus.traces import load  # noqa: E402
from lora_watch import Alert, LoraWatchCallback  # noqa: E402
from lora_watch.advice import preflight  # noqa: E402
from lora_watch.gate import judge  # noqa: E402
from lora_watch.gate.baseline import load as load_baseline  # noqa: E402
from tests.support import lora, tiny_model, train  # noqa: E402

SETTINGS = {
    "lora_alpha=16 at r=64": ({"r": 64, "lora_alpha": 16}, None),
    "use_rslora=True, lora_alpha=16 at r=4": ({"r": 4, "lora_alpha": 16, "use_rslora": True}, None),
    "use_rslora=True, lora_alpha=128 at r=64": ({"r": 64, "lora_alpha": 128, "use_rslora": True}, None),
    "r=64 for a classification": ({"r": 64, "lora_alpha": 64}, "classification"),
}


def of_training() -> Iterator[tuple[Alert, str]]:
    traces = sorted((ROOT / "benchmarks" / "corpus" / "traces").rglob("*.xz"), key=_usual_first)
    for path in traces:
        fault = re.search(r"_([a-z0-9-]+)@", path.name)
        for alert in replay(load(path)):
            if fault is None or alert.rule == FAULTS[fault[1]].rules[0]:
                yield alert, f"benchmarks/corpus, {path.stem}"


def _usual_first(path: Path) -> tuple[bool, bool, str]:
    """Runs with a fault, then those of the packaged model with a scale that is too high, then all others."""
    return "@" not in path.name, "tiny_python_r8_s16_" not in path.name, path.name


def of_settings() -> Iterator[tuple[Alert, str]]:
    for words, (config, task) in SETTINGS.items():
        for alert in preflight(config, {"learning_rate": 2e-4}, task=task).findings:
            yield alert, f"lora-watch preflight, {words}"


def of_the_gate() -> Iterator[tuple[Alert, str]]:
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
        kept = load_baseline(Path(folder, "baseline"))
        for name in list(runs)[1:]:
            for alert in judge([Path(folder, name)], baseline=kept).runs[0].findings:
                yield alert, f"lora-watch check of two short runs, {name}"


def main() -> None:
    samples: dict[str, dict[str, str]] = {}
    for find in (of_training, of_settings, of_the_gate):
        for alert, source in find():
            samples.setdefault(alert.rule, {"alert": str(alert), "from": source})
    path = ROOT / "docs" / "rules" / "samples.json"
    path.write_text(json.dumps(dict(sorted(samples.items())), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    shown = "\n".join(
        textwrap.fill(line, 118, subsequent_indent="    ") for line in samples["LW102"]["alert"].splitlines()
    )
    readme.write_text(
        re.sub(r"(<!-- sample: LW102 -->\n```\n).*?(?=\n```)", lambda found: found[1] + shown, text, flags=re.DOTALL),
        encoding="utf-8",
    )
    print(f"{len(samples)} samples: {', '.join(sorted(samples))}")


if __name__ == "__main__":
    main()
