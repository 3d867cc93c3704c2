"""A judgement as GitHub-flavoured Markdown: a job's summary, or a comment on a pull request.

A curve is a line of Unicode bars, which every renderer shows: images given as data URIs are stripped by GitHub.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lora_watch.base.text import short, sparkline
from lora_watch.gate.formats.text import ending, summary
from lora_watch.gate.judging import Judged, Judgement

SUMMARY_BYTES = 1_000_000
"""GitHub drops a step's summary that is longer than 1 MiB."""


def markdown(judgement: Judgement) -> str:
    """A table of the runs, then their findings."""
    lines = [f"### lora_watch: {'✅' if judgement.exit_code == 0 else '❌'} {summary(judgement)}", ""]
    if judgement.runs:
        lines += [
            "| run | ended | steps | mean loss | | findings |",
            "|---|---|--:|---|---|---|",
        ]
        lines += [_row(judged) for judged in judgement.runs]
    lines += [line for reason in judgement.unreadable for line in ("", f"**Not judged:** {escaped(reason)}")]
    for judged in judgement.runs:
        lines += _details(judged)
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """``text`` as itself: no markup, no table cell's end, no mention of a user."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text).replace("\\@", "@\u200b")


def code(text: str) -> str:
    """``text`` as a code span, also inside a table."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return fence + pad + text.replace("|", "\\|") + pad + fence


def _row(judged: Judged) -> str:
    run = judged.run
    first, last = run.loss_means
    by_rule: dict[str, str] = {}
    for alert in judged.findings:
        by_rule.setdefault(alert.rule, f"{alert.severity.name} {escaped(alert.rule)} {escaped(alert.name)}")
    cells = [
        code(run.name),
        ending(run),
        str(run.step) + (f" / {run.max_steps}" if run.max_steps is not None else ""),
        f"{short(first)} → {short(last)}" + ("" if run.loss_curve or last is None else " (single steps)"),
        sparkline([value for _, value in run.loss_curve], width=16),
        "<br>".join(by_rule.values()) or "none",
    ]
    return f"| {' | '.join(cells)} |"


def _details(judged: Judged) -> Iterator[str]:
    if judged.run.next_run is not None:
        yield from ("", f"**Next run** of {code(judged.run.name)}: {escaped(str(judged.run.next_run))}")
    for alert in judged.findings:
        title, *rest = alert.lines()
        yield from (
            "",
            f"**{escaped(title)}** in {code(judged.run.name)}",
            "",
            *(f"- {escaped(line)}" for line in rest),
        )
    if judged.run.notes:
        yield ""
        yield from (f"- note: {escaped(note)}" for note in judged.run.notes)
