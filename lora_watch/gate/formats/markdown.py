"""A judgement as GitHub-flavoured Markdown: a job's summary, or a comment on a pull request."""

from __future__ import annotations

import re

from lora_watch.gate.formats.text import summary, text
from lora_watch.gate.judging import Judgement

SUMMARY_BYTES = 1_000_000
"""GitHub drops a step's summary that is longer than 1 MiB."""


def markdown(judgement: Judgement) -> str:
    """A heading, and ``text`` as a block of code, in which nothing is markup and nobody is mentioned."""
    said = text(judgement).encode()[:SUMMARY_BYTES].decode(errors="ignore")
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", said)), 3)
    mark = "✅" if judgement.exit_code == 0 else "❌"
    return f"### lora_watch: {mark} {summary(judgement)}\n\n{fence}\n{said}\n{fence}\n"
