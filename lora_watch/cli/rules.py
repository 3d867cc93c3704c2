"""``lora-watch rules``: what is checked."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from lora_watch.cli.common import refusing

if TYPE_CHECKING:
    from lora_watch.rules import Rule
    from lora_watch.rules.guide import Page

EXAMPLES = {"lora-watch rules LW102": "one rule: when it fires, and its thresholds"}


def rules(
    rule: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="An id or a name: LW102, norm-explosion. Without it, all.")
    ] = None,
) -> None:
    """List all rules, or explain one: when it fires, what it means, what to do, how to change or mute it.

    [bold]INFO[/] is worth knowing, [bold]WARNING[/] needs a check, [bold]ERROR[/] means a failed run. LW801 to LW816
    come from [bold]check[/], which reads the files of a run, LW801 to LW803 also from [bold]show[/].
    """
    from rich.markdown import Markdown

    from lora_watch.rules import id_called
    from lora_watch.rules.guide import pages

    known = pages()
    console = Console(highlight=False)
    if rule is None:
        table = Table("id", "name", "severity", "summary", box=None, pad_edge=False)
        for page in known.values():
            table.add_row(page.id, page.name, page.severity, page.summary)
        console.print(table)
        return
    with refusing(ValueError):
        page = known[id_called(rule, {page.id: page.name for page in known.values()})]
    console.print(Markdown(explanation(page)))


def explanation(page: "Page") -> str:
    """The page of one finding, as Markdown, without its evidence."""
    lines = [f"**{page.id} {page.name}** ({page.severity})", "", page.summary, "", page.fires, ""]
    steps = {"What it means": page.means, "What to do": page.fix, "Switching it off": page.mute}
    lines += [f"- **{title}**: {text}" for title, text in steps.items() if text]
    if page.rule is not None:
        lines += ["", *_settings(page.rule)]
    return "\n".join(lines)


def _settings(rule: "Rule") -> list[str]:
    """How to change the thresholds of a rule, mute it, or keep it from ending a run."""
    kind, thresholds = type(rule).__name__, rule.thresholds
    lines = [f"- `{name} = {value}`" for name, value in thresholds.items()]
    if lines:
        name, value = next(iter(thresholds.items()))
        lines = ["Thresholds, with their defaults:", "", *lines]
        lines += ["", f"To change one: `from lora_watch.rules import {kind}`, and then"]
        lines += [f"`LoraWatchCallback(rules=[{kind}({name}={value})])` with another value.", ""]
    return [
        *lines,
        f'To leave it out: `mute=["{rule.id}"]` or `LORA_WATCH_MUTE={rule.id}`. To report it without ending the run:',
        f'`fail_on={{"default": "error", "{rule.id}": "never"}}` or `LORA_WATCH_FAIL_ON=error,{rule.id}=never`.',
    ]
