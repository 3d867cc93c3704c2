"""``lora-watch rules``: what is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from lora_watch.commands.misuse import misuse

if TYPE_CHECKING:
    from lora_watch.rules import Rule


def rules(
    rule: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="An id or a name: LW102, norm-explosion. None lists all.")
    ] = None,
) -> None:
    """List what is checked, or explain one rule: when it fires, its thresholds, how to change or mute it.

    [bold]INFO[/] is worth knowing, [bold]WARNING[/] worth a look, [bold]ERROR[/] means that the run is lost or will be.
    """
    from lora_watch.rules import catalogue

    known = sorted(catalogue(), key=lambda each: each.id)
    console = Console(highlight=False)
    if rule is None:
        console.print(_table(known))
        return
    for each in known:
        if rule.lower() in (each.id.lower(), each.name):
            console.print(_explanation(each))
            return
    raise misuse(f"no rule is called {rule!r}; `lora-watch rules` lists them")


def _table(rules: list[Rule]) -> Table:
    table = Table("id", "name", "severity", "fires for", box=None, pad_edge=False)
    for each in (rule.describe() for rule in rules):
        table.add_row(each["id"], each["name"], each["severity"], each["explains"].split("\n\n")[0].replace("\n", " "))
    return table


def _explanation(rule: Rule) -> Markdown:
    kind = type(rule)
    lines = [f"**{rule.id} {rule.name}** ({rule.severity.name})", "", rule.describe()["explains"]]
    if rule.thresholds:
        name, value = next(iter(rule.thresholds.items()))
        lines += ["", "Limits, with their defaults:", ""]
        lines += [f"- `{name} = {value}`" for name, value in rule.thresholds.items()]
        lines += ["", f"To change one: `from {kind.__module__} import {kind.__name__}`, and then"]
        lines += [f"`LoraWatchCallback(rules=[{kind.__name__}({name}={value})])` with another value."]
    lines += ["", f'To leave it out: `mute=["{rule.id}"]` or `LORA_WATCH_MUTE={rule.id}`. To be told and not stopped:']
    lines += [f'`fail_on={{"default": "error", "{rule.id}": "never"}}` or `LORA_WATCH_FAIL_ON=error,{rule.id}=never`.']
    return Markdown("\n".join(lines))
