"""A judgement as workflow commands: GitHub shows each as an annotation of the job.

The grammar is ``::error title=…::message``. GitHub's runner undoes ``%25``, ``%0D``, ``%0A`` in the message and also
``%3A``, ``%2C`` in a property. It shows ten errors and ten warnings of a step; the log above has them all.
"""

from lora_watch.base.alerts import Severity
from lora_watch.gate.formats.text import text
from lora_watch.gate.judging import Judgement


def github(judgement: Judgement) -> str:
    """``text`` for the log, followed by the annotations, one line each. A finding at or above ``fail_on`` is an error,
    another WARNING a warning; INFO and what is switched off are left out."""
    out = [text(judgement), "", *(command("error", "lora_watch", reason) for reason in judgement.unreadable)]
    for judged in judgement.runs:
        for alert in judged.findings:
            fails = judgement.counts(alert)
            if fails or (alert.severity >= Severity.WARNING and alert.rule not in judgement.switched_off):
                out.append(command("error" if fails else "warning", f"{alert.rule} in {judged.run.name}", str(alert)))
    return "\n".join(out)


def command(name: str, title: str, message: str) -> str:
    data = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    value = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A").replace(",", "%2C")
    return f"::{name} title={value}::{data}"
