"""A judgement for a terminal or a build log."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lora_watch.base.alerts import Alert, Severity, ending, in_numbers, tally
from lora_watch.base.text import adapters, clean, count, middle, plain, sentence, short, sparkline, table
from lora_watch.format.tags import EVAL_LOSS, eval_losses
from lora_watch.gate.baseline import RULES as BASELINE_RULES
from lora_watch.gate.judging import Judged, Judgement
from lora_watch.rules.policy import RECOVERED, passes, too_few
from lora_watch.runs.places import short_names
from lora_watch.runs.run import STOPPED_EARLY


def text(judgement: Judgement) -> str:
    """A paragraph a run, worst finding first, and a last line with the sum. Of several runs a table, and paragraphs of
    those that fail or have more than notes."""
    several = len(judgement.runs) > 1
    blocks = ["\n".join(_overview(judgement))] if several else []
    told = [
        run
        for run in judgement.runs
        if not several or judgement.failures(run) or any(a.severity > Severity.INFO for a in run.findings)
    ]
    blocks += ["\n".join(_run(judged, judgement)) for judged in told]
    blocks += [f"UNREADABLE {reason}" for reason in judgement.unreadable]
    return "\n\n".join([*blocks, summary(judgement)])


def _tally(findings: Sequence[Alert], judgement: Judgement) -> str:
    """``1 error, 2 warnings, 1 found by check``: what the page has, too, is counted as there."""
    ours = {STOPPED_EARLY, *BASELINE_RULES}
    own = in_numbers(tally(alert for alert in findings if alert.rule not in ours))
    added = sum(alert.rule in ours.difference(judgement.switched_off) for alert in findings)
    return ", ".join(filter(None, [own, f"{added} found by check" if added else ""]))


def summary(judgement: Judgement) -> str:
    """One line: how many runs, how many of them are at fault."""
    failing = sum(bool(judgement.failures(judged)) for judged in judgement.runs)
    parts = [f"{count(len(judgement.runs), 'run')} checked", *[f"{failing or 'none'} failed"] * bool(judgement.runs)]
    parts += [f"{len(judgement.unreadable)} could not be judged"] * bool(judgement.unreadable)
    return ". ".join(filter(None, [", ".join(parts), passing(judgement)]))


def passing(judgement: Judgement) -> str:
    """``passes`` on the runs that do not fail."""
    over = (judged for judged in judgement.runs if judged.run.verdict != "unknown" and not judged.run.going)
    passed = (judged for judged in over if not judgement.failures(judged))
    return passes((a for judged in passed for a in judged.findings), off=judgement.switched_off)


def _overview(judgement: Judgement) -> list[str]:
    rows = []
    for name, judged in zip(short_names([judged.run.name for judged in judgement.runs]), judgement.runs):
        run, found = judged.run, _tally(judged.findings, judgement)
        left = (f"{a.rule}: {middle(a.message, 44)}" for a in judged.findings if a.rule not in judgement.switched_off)
        rows.append([middle(name, 32), _verdict(judged, judgement), run.ending, run.steps, found, next(left, "")])
    return table(["run", "verdict", "", "", "alerts", "worst"], rows, left=range(6))


def _verdict(judged: Judged, judgement: Judgement) -> str:
    if judgement.failures(judged):
        return "FAIL"
    return "?" if judged.run.verdict == "unknown" else "passed" if "error" in tally(judged.findings) else "ok"


def _run(judged: Judged, judgement: Judgement) -> Iterator[str]:
    verdict = _verdict(judged, judgement)
    found = "" if verdict == "FAIL" else _tally(judged.findings, judgement)
    yield f"{verdict}{f', {found}' if found else ''}  {judged.run.name}"
    yield from described(judged, judgement)
    if judged.compared and not any(alert.rule in BASELINE_RULES for alert in judged.findings):
        yield "  nothing has moved beyond the baseline's tolerances"


def described(judged: Judged, judgement: Judgement) -> Iterator[str]:
    """How far a run came, its losses, what to change, and its findings: indented lines."""
    run, off = judged.run, judgement.switched_off
    findings = [alert for alert in judged.findings if alert.rule not in off]
    when = [] if run.verdict == "interrupted" else filter(None, [run.written])  # of that LW801 tells
    parts = [run.ending, *when, run.steps, adapters(len(run.adapters), run.resting)]
    if run.reward_ends is not None:
        what = "margin" if run.config.get("preference") else "mean reward"
        parts.append(f"{what} {' → '.join(map(plain, run.reward_ends))}")
    elif run.loss_ends[0] is not None:
        curve = sparkline(losses := [value for _, value in run.loss_curve])
        end, when = run.final_loss, "in the last tenth" if run.step >= 20 else "at last"
        if end is None:  # most of it is NaN
            end, when = run.loss_ends[1], "at last"
        elif "NaN" in map(short, losses[-max(run.step // 10, 1) :]):
            when += " without its NaN"
        if any(a.recovery and a.recovery.dropped and a.last_step >= run.step for a in run.alerts):
            when += " before updates were dropped"
        parts.append(f"loss {short(run.loss_ends[0])} in the first steps, {short(end)} {when} {curve}".rstrip())
    sets = eval_losses(run.evaluated)
    for name in [EVAL_LOSS] if EVAL_LOSS in sets else sets[:3]:
        step, loss = run.evaluated[name]
        when = "" if step >= run.step else f" at step {step}" if step else " before step 1"
        parts.append(f"{name} {short(loss)}{when}")
    yield f"  {' · '.join(parts)}"
    if run.next_run is not None:
        yield f"  Next run: {run.next_run}"
    if run.last_good is not None and run.verdict != "ok":
        yield "  Last good adapter: {} (step {})".format(*map(clean, run.last_good))
    told = dict[tuple[str, ...], str]()
    for alert in findings:
        said = replace(alert, next_run=None)
        for cause in alert.causes[:1]:
            if (rule := told.setdefault((cause, *alert.remedies), alert.rule)) != alert.rule:
                said = replace(said, causes=[f"that of {rule}"], remedies=[])
        yield from (f"  {line}" for line in str(said).splitlines())
        if alert.closed_step is not None and alert.rule != RECOVERED:
            yield f"    {sentence(ending(alert, findings))}"
    yield from (f"  Switched off ({a.rule}=never): {a.message}" for a in judged.findings if a.rule in off)
    left_open = [too_few(run.step)] if run.verdict == "ok" else []
    yield from (f"  note: {note}" for note in filter(None, [*run.notes, *left_open]))
