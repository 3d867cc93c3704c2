"""A judgement as workflow commands: GitHub shows each as an annotation of the job.

The grammar is ``::error title=…::message``. GitHub's runner undoes ``%25``, ``%0D``, ``%0A`` in the message and also
``%3A``, ``%2C`` in a property. It shows ten errors and ten warnings of a step and drops the rest without a word.
"""

from __future__ import annotations

from lora_watch.base.alerts import Severity
from lora_watch.gate.formats.text import text
from lora_watch.gate.judging import Judgement

SHOWN = 10
"""Annotations of each kind that GitHub shows for a step."""


def github(judgement: Judgement) -> str:
    """``text`` for the log, followed by the annotations."""
    return "\n".join([text(judgement), "", *commands(judgement)])


def commands(judgement: Judgement) -> list[str]:
    """One line each. A finding at or above ``fail_on`` is an error, other warnings are warnings, INFO is left out."""
    errors = [command("error", "lora_watch", reason) for reason in judgement.unreadable]
    warnings = []
    for judged in judgement.runs:
        for alert in judged.findings:
            title = f"{alert.rule} {alert.name} in {judged.run.name}"
            if judgement.counts(alert):
                errors.append(command("error", title, str(alert)))
            elif alert.severity >= Severity.WARNING:
                warnings.append(command("warning", title, str(alert)))
    return [*_shown("error", errors), *_shown("warning", warnings)]


def command(name: str, title: str, message: str) -> str:
    """One workflow command, whatever the texts hold."""
    data = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    value = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A").replace(",", "%2C")
    return f"::{name} title={value}::{data}"


def _shown(name: str, commands: list[str]) -> list[str]:
    if len(commands) <= SHOWN:
        return commands
    rest = len(commands) - SHOWN + 1
    return [*commands[: SHOWN - 1], command(name, "lora_watch", f"{rest} more findings: see the log of this step")]
