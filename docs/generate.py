"""Writes the pages that follow from the program: rules with their pictures, commands, the Python interface.

    python docs/generate.py         after a rule, a flag, an argument or a public docstring has changed

A test compares them with what this makes. The other pages of the folder are written by hand.
"""

from __future__ import annotations

import inspect
import io
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import lora_watch
from lora_watch import Rule
from lora_watch.rules.guide import pages as known
from lora_watch.settings import CallbackSettings, LightningSettings, MonitorSettings, Settings, all_of, described

DOCS = Path(__file__).resolve().parent
DRAWN = "LW3"
"""Rules before this one, those on size and loss, have a picture. Wiring and settings are told by their sentences."""


def made() -> Iterator[tuple[str, str]]:
    """``(name, content)`` of each page that is made."""
    yield "rules.md", rules()
    yield from rule_pages()
    yield "evidence.md", evidence()
    yield "command-line.md", commands()
    yield "python.md", python()


# -- rules and commands ------------------------------------------------------------------------------------------------
def rules() -> str:
    """The table of every finding, by id."""
    rows = "\n".join(
        f"| [{page.id}](rules/{page.id}.md) | {page.name} | {page.severity} | {page.summary} |"
        for page in known().values()
    )
    return RULES.format(rows=rows)


RULES = """# What does this alert mean?

An ERROR says that a run, a save or a comparison has failed ([how often wrongly](trust.md)). A WARNING needs a check.
An INFO fails no run. An alert opens, lasts and closes. One that follows from another names it as its cause.
`lora-watch rules LW102` shows a page in a terminal, and [this page](evidence.md) says where the thresholds come from.
LW801 to LW816 come from `check`, which reads the files of a run, LW801 to LW803 also from `show`, LW801 and LW803 from
tab, page and `compare`. No console or `report.json` has them. `check` counts LW802 and LW811 to LW816 apart.

| id | name | severity | summary |
|---|---|---|---|
{rows}
"""


def rule_pages() -> Iterator[tuple[str, str]]:
    """``(name, content)`` of every finding's page: five sections, an alert of a real run, and a table of thresholds."""
    samples = json.loads((DOCS / "rules" / "samples.json").read_text(encoding="utf-8"))
    for page in known().values():
        sample = samples.get(page.id, {})
        shown = [f"{page.severity}: {page.summary}"]
        if sample:
            shown.append(f"```\n{sample['alert']}\n```")
        if "curves" in sample and page.id < DRAWN:
            about = f"Loss and {sample['curves']['metric']}, with the alert and without"
            shown.append(f"![{about}]({page.id}.svg)")
        sections = {
            "What you see": "\n\n".join(shown),
            "What it means": page.means,
            "What to do": page.fix,
            "When it fires": page.fires,
            "Switching it off": "\n\n".join(part for part in (page.mute, _thresholds(page.rule)) if part),
        }
        parts = [f"# {page.id} {page.name}", *(f"## {title}\n\n{text}" for title, text in sections.items() if text)]
        yield f"rules/{page.id}.md", "\n\n".join(parts) + "\n"


def evidence() -> str:
    """Where the thresholds of each rule come from."""
    parts = [f"## {page.id} {page.name}\n\n{page.evidence}" for page in known().values() if page.evidence]
    return "\n\n".join(["# Where do the thresholds come from?", *parts]) + "\n"


def pictures() -> Iterator[tuple[str, str]]:
    """``(name, SVG)`` for the rules on size and loss: the run that fires, and a healthy one."""
    for id, sample in json.loads((DOCS / "rules" / "samples.json").read_text(encoding="utf-8")).items():
        if "curves" in sample and id < DRAWN:
            yield f"rules/{id}.svg", _picture(sample["curves"])


def _picture(curves: dict[str, Any]) -> str:
    """Two charts side by side: the loss, and the alert's metric in the adapter that it names first."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, values, title in ((left, curves["loss"], "loss"), (right, curves["values"], curves["metric"])):
        for run, label, colour in (("fires", "alert", "#c62828"), ("twin", "no alert", "#1565c0")):
            numbers = np.array(values[run], dtype=float)  # None becomes NaN
            steps = np.flatnonzero(np.isfinite(numbers))
            axes.plot(steps + 1, numbers[steps], color=colour, label=label, linewidth=1.5)
        axes.axvline(curves["step"], color="#757575", linestyle=":", label=f"alert at step {curves['step']}")
        axes.set(title=title, xlabel="step")
        positive = [abs(v) for run in values.values() for v in run if v]
        if positive and max(positive) > 30 * float(np.median(positive)):
            axes.set_yscale("log")
    if curves["threshold"]:
        right.axhline(
            curves["threshold"], color="#ef6c00", linestyle="--", label=f"threshold {curves['threshold']:.3g}"
        )
    right.set_title(f"{curves['metric']}, {curves['adapter']}", fontsize="small")
    left.legend(fontsize="small")
    right.legend(fontsize="small")
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "the same each time"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return re.sub(r" +$", "", buffer.getvalue(), flags=re.M)


def _thresholds(rule: Rule | None) -> str:
    """How to leave the rule out, and its thresholds as a table. Findings of ``check`` and of the monitor have none."""
    if rule is None:
        return ""
    name = type(rule).__name__
    rows = "".join(f"| `{key}` | {value} |\n" for key, value in rule.thresholds.items())
    table = f"\n\n| threshold of `{name}` | default |\n|---|---|\n{rows}" if rows else ""
    return f'`LoraWatchCallback(mute=["{rule.id}"])`{table}'


def commands() -> str:
    """The help of each subcommand: what it does, its arguments and options, examples."""
    import typer

    from lora_watch.cli.app import app

    group = typer.main.get_command(app)
    parts = ["# Command line", *(_command(name, command) for name, command in group.commands.items())]  # type: ignore[attr-defined]
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: Any) -> str:
    rows = [_parameter(each) for each in command.params if not each.hidden]
    table = ["| argument or option | default | meaning |", "|---|---|---|", *rows] if rows else []
    help, below = (_without_colours(text or "") for text in (command.help, command.epilog))
    below = re.sub(r"^ *(`.*`)\n *(.+)$", r"- \1: \2", below, flags=re.M).strip()
    return "\n\n".join(part for part in (f"## `lora-watch {name}`", help, "\n".join(table), below) if part)


def _without_colours(help: str) -> str:
    """Help is written for a terminal: what is coloured there is code here."""
    return re.sub(r"\[bold\](.*?)\[/\]", r"**\1**", re.sub(r"\[cyan\](.*?)\[/\]", r"`\1`", help))


def _parameter(of: Any) -> str:
    options = (*of.opts, *of.secondary_opts) if of.param_type_name == "option" else (of.name.upper(),)
    default = "" if of.default in (None, False, (), []) or callable(of.default) else f"`{of.default}`"
    help = _without_colours(" ".join((of.help or "").split()))
    return f"| {', '.join(f'`{each}`' for each in options)} | {default} | {help} |"


# -- Python ------------------------------------------------------------------------------------------------------------
_SETTINGS: dict[str, type[Settings]] = {
    "LoraWatchCallback": CallbackSettings,
    "Monitor": MonitorSettings,
    "lora_watch.lightning.LoraWatch": LightningSettings,
}


def python() -> str:
    """Every public name with its docstring, and the tables of what the ways in take."""
    first = ("LoraWatchCallback", "watch", "Monitor", "measure", "find_adapters")
    others = sorted({name for name in lora_watch.__all__ if not name.startswith("__")} - {*first})
    entries = "\n\n".join(_entry(name, getattr(lora_watch, name)) for name in (*first, *others))
    tables = "\n\n".join(f"## Arguments of `{of}`\n\n{_settings(kind)}" for of, kind in _SETTINGS.items())
    first_line = "Names without a module are imported from `lora_watch` itself."
    return "\n\n".join(["# Python", first_line, entries, tables]) + "\n"


def _entry(name: str, thing: Any) -> str:
    """A function's signature and docstring; a class's docstring, and its public methods."""
    parts = [f"## `{name}`", _prose(thing)]
    if inspect.isclass(thing):
        for method, body in vars(thing).items():
            if not method.startswith("_") and inspect.isfunction(body) and body.__doc__:
                parts.append(f"**`{_signature(method, body)}`**: {_prose(body)}")
    else:
        parts.insert(1, f"```python\n{_signature(thing.__name__, thing)}\n```")
    return "\n\n".join(parts)


def _signature(name: str, function: Any) -> str:
    parameters = inspect.signature(function).parameters.values()
    return f"{name}({', '.join(str(p.replace(annotation=p.empty)) for p in parameters if p.name != 'self')})"


def _prose(thing: Any) -> str:
    """A docstring as Markdown: code in single backticks, and what ``::`` announces in a block."""
    text = inspect.getdoc(thing) or ""
    text = re.sub(r"::\n\n((?:    .*\n?|\n)+)", lambda found: f":\n\n{_block(found[1])}", text)
    text = re.sub(r"^(Args|Raises|Returns):\n", r"\1:\n\n", text, flags=re.M)
    text = re.sub(r"^    (?=[\w`*]+.*: )", "- ", text, flags=re.M)
    return _single(text)


def _single(text: str) -> str:
    return re.sub(r"(?<!`)``(?!`)", "`", text)


def _block(indented: str) -> str:
    return f"```python\n{textwrap.dedent(indented).rstrip()}\n```\n\n"


def _settings(kind: type[Settings]) -> str:
    rows = (
        f"| `{name}` | {'' if each.default is MISSING else f'`{each.default!r}`'} | {_single(described(kind, name))} |"
        for name, each in all_of(kind).items()
    )
    return "\n".join(["| argument | default | meaning |", "|---|---|---|", *rows])


if __name__ == "__main__":
    for old in ("LW*.md", "LW*.svg"):
        for file in (DOCS / "rules").glob(old):
            file.unlink()
    for name, content in (*made(), *pictures()):
        (DOCS / name).write_text(content, encoding="utf-8")
