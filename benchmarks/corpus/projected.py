"""Measures for LW104: losses of batches with the adapters as large as they become, and twice as large.

    python -m benchmarks.corpus.projected [--base tiny|smollm2] [--part 1/2]

Runs whose traces are older than that rule are trained again, up to the steps at which it compares, and the losses are
kept in ``projected.json``. Restartable. A run of which a loss differs from its trace is left out, and named.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from benchmarks.corpus.generate import Asks, RecordingCallback, path_of, plan, train
from benchmarks.corpus.plan import EVERYDAY_FRESH, EVERYDAY_LAST, EVERYDAY_NEWEST, Spec
from benchmarks.corpus.traces import PROJECTED, Trace, load
from lora_watch.base.records import StepRecord
from lora_watch.rules import BarelyMoves
from lora_watch.rules.harm import projected

NEAR = 0.02
"""Share by which a loss may differ from that of the trace, which other versions of the libraries have made."""


class Ends(TrainerCallback):
    """Ends the run when all batches have been compared."""

    def __init__(self, records: list[StepRecord]):
        self.records = records

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop |= sum(projected(r) is not None for r in self.records) >= BarelyMoves.batches


def measure(spec: Spec, trace: Trace) -> dict[str, list[float]] | None:
    """``{step: [end, twice]}``; None where the losses are not those of the trace."""
    callback = RecordingCallback(rules=[Asks()])
    records = callback.recorder.records
    with tempfile.TemporaryDirectory() as folder:
        train(spec, folder, callback, prepare=lambda trainer: trainer.add_callback(Ends(records)))
    for now, then in zip(records, trace.records):
        if now.loss is not None and then.loss is not None and not abs(now.loss - then.loss) <= NEAR * abs(then.loss):
            return None
    return {str(r.step): [p.end, p.twice] for r in records if (p := projected(r)) is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", choices=("tiny", "smollm2"), help="only runs of this model")
    parser.add_argument("--part", default="1/1", help="the first of two halves of them: 1/2")
    parser.add_argument("--store", type=Path, default=PROJECTED)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    part, parts = map(int, wanted.part.split("/"))
    known = json.loads(wanted.store.read_text()) if wanted.store.exists() else {}
    later = *EVERYDAY_FRESH, *EVERYDAY_LAST, *EVERYDAY_NEWEST
    older = [s for s in plan() if s.base != "minilm" and not s.fault and s.seed not in later]
    specs = [s for s in older if wanted.base in (None, s.base) and path_of(s).exists()]
    missing = [s for s in specs[part - 1 :: parts] if s.name not in known]
    for i, spec in enumerate(missing, 1):
        found = measure(spec, load(path_of(spec)))
        if found is not None:
            known[spec.name] = found
            unfinished = wanted.store.with_suffix(f".{os.getpid()}")
            unfinished.write_text(json.dumps(known, indent=0, sort_keys=True))
            unfinished.rename(wanted.store)
        print(f"{i}/{len(missing)} {spec.name}: {found or 'other losses than its trace'}", flush=True)


if __name__ == "__main__":
    main()
