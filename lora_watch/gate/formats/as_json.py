"""A judgement as strict JSON, for programs."""

from __future__ import annotations

import json
from typing import Any

from lora_watch.base.strict_json import strict
from lora_watch.gate.judging import Judged, Judgement

CHECK_VERSION = 1


def as_json(judgement: Judgement) -> str:
    """Indented, one document."""
    content = {
        "version": CHECK_VERSION,
        "exit_code": judgement.exit_code,
        "fail_on": judgement.threshold,
        "runs": [_run(judged, judgement) for judged in judgement.runs],
        "unreadable": judgement.unreadable,
    }
    return json.dumps(strict(content), allow_nan=False, ensure_ascii=False, indent=1)


def _run(judged: Judged, judgement: Judgement) -> dict[str, Any]:
    run = judged.run
    return {
        "name": run.name,
        "failed": bool(judgement.failures(judged)),
        "verdict": run.verdict,
        "message": run.message,
        "step": run.step,
        "max_steps": run.max_steps,
        "updated": run.updated,
        "loss": {"first": run.loss_ends[0], "last": run.loss_ends[1]},
        "adapters": len(run.adapters),
        "trainable_parameters": run.trainable_parameters,
        "compared": judged.compared,
        "next_run": None if run.next_run is None else run.next_run.to_dict(),
        "findings": [alert.to_dict() for alert in judged.findings],
        "notes": run.notes,
    }
