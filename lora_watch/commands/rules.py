"""``lora-watch rules``: what is checked."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from lora_watch.commands.misuse import misuse


def rules(
    rule: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="An id or a name: LW102, norm-explosion. None lists all.")
    ] = None,
) -> None:
    """List what is checked, or explain one rule: when it fires and its limits.

    [bold]INFO[/] is worth knowing, [bold]WARNING[/] worth a look, [bold]ERROR[/] means that the run is lost or will be.
    """
    from lora_watch.rules import catalogue

    known = sorted((each.describe() for each in catalogue()), key=lambda each: each["id"])
    console = Console(highlight=False)
    if rule is None:
        console.print(_table(known))
        return
    for each in known:
        if rule.lower() in (each["id"].lower(), each["name"]):
            console.print(_explanation(each))
            return
    raise misuse(f"no rule is called {rule!r}; `lora-watch rules` lists them")


def _table(rules: list[dict[str, Any]]) -> Table:
    table = Table("id", "name", "severity", "fires for", box=None, pad_edge=False)
    for each in rules:
        table.add_row(each["id"], each["name"], each["severity"], each["explains"].split("\n\n")[0].replace("\n", " "))
    return table


def _explanation(rule: dict[str, Any]) -> Markdown:
    lines = [f"**{rule['id']} {rule['name']}** ({rule['severity']})", "", rule["explains"]]
    if rule["limits"]:
        lines += ["", "Limits, keyword arguments of the rule, with their defaults:", ""]
        lines += [f"- `{name} = {value}`" for name, value in rule["limits"].items()]
    return Markdown("\n".join(lines))
