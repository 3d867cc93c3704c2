"""A judgement for a terminal or a build log."""

from __future__ import annotations

from collections.abc import Iterator

from lora_watch.base.text import count, short, sparkline
from lora_watch.gate.baseline import RULES as BASELINE_RULES
from lora_watch.gate.judging import Judged, Judgement
from lora_watch.runs.run import FinishedRun

_ENDINGS = {
    "ok": "finished",
    "unhealthy": "finished with an ERROR",
    "unknown": "finished, not judged",
    "failed": "ended by its policy",
    "interrupted": "broke off",
}


def text(judgement: Judgement) -> str:
    """A paragraph a run, worst finding first, and a last line with the sum."""
    blocks = ["\n".join(_run(judged, judgement)) for judged in judgement.runs]
    blocks += [f"UNREADABLE {reason}" for reason in judgement.unreadable]
    return "\n\n".join([*blocks, summary(judgement)])


def summary(judgement: Judgement) -> str:
    """One line: how many runs, how many of them are at fault."""
    failing = sum(bool(judgement.failures(judged)) for judged in judgement.runs)
    parts = []
    if judgement.runs:
        parts.append(f"{f'{failing} with' if failing else 'no'} findings at or above {judgement.threshold}")
    if judgement.unreadable:
        parts.append(f"{len(judgement.unreadable)} could not be judged")
    return f"{count(len(judgement.runs), 'run')} checked: {'; '.join(parts) or 'there is nothing to judge'}"


def ending(run: FinishedRun) -> str:
    """How the run ended, in two words. Whether it is well is another question."""
    return "still going" if run.going else _ENDINGS[run.verdict]


def _run(judged: Judged, judgement: Judgement) -> Iterator[str]:
    run = judged.run
    yield f"{'FAIL' if judgement.failures(judged) else 'ok'}  {run.name}"
    steps = f"{run.step} of {run.max_steps} steps" if run.max_steps is not None else count(run.step, "step")
    parts = [ending(run), steps, count(len(run.adapters), "adapter")]
    first, last = run.loss_means
    if (first, last) != (None, None):
        curve = sparkline([value for _, value in run.loss_curve])
        kind = "mean loss" if run.loss_curve else "loss of the first and the last step"
        parts.append(f"{kind} {short(first)} → {short(last)} {curve}".rstrip())
    yield f"  {' · '.join(parts)}"
    if (found := run.largest()) is not None:
        yield f"  largest {found[0]}: {found[1]} ({short(found[2])})"
    for alert in judged.findings:
        yield from (f"  {line}" for line in str(alert).splitlines())
        if alert.closed_step is not None:
            yield f"    over since step {alert.closed_step}"
    if judged.compared and not any(alert.rule in BASELINE_RULES for alert in judged.findings):
        yield "  nothing has moved beyond the baseline's tolerances"
    yield from (f"  note: {note}" for note in run.notes)
