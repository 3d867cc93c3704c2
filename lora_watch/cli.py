"""The command ``lora-watch``. Heavy imports wait until a command needs them, so that ``--help`` is instant."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from lora_watch import __version__
from lora_watch.demo.models import MissingPackageError

app = typer.Typer(
    name="lora-watch",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Watches every LoRA adapter while it trains, and says in words when a run goes wrong.

In a training script one line is enough:

  [cyan]trainer = Trainer(…, callbacks=[LoraWatchCallback(fail_on="error")])[/]

This command shows what that does, and explains the rules.""",
    epilog="""Examples:

  [cyan]lora-watch demo --quick[/]    a healthy run and a broken one, in half a minute

  [cyan]lora-watch rules[/]           what is checked

  [cyan]lora-watch rules LW102[/]     one rule: when it fires and its limits""",
)


class Model(str, enum.Enum):
    """The demo's models."""

    tiny = "tiny"
    minilm = "minilm"
    smollm2 = "smollm2"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lora-watch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog="""Examples:

  [cyan]lora-watch demo[/]                    the packaged model, under two minutes

  [cyan]lora-watch demo --quick[/]            the same, smaller, under 30 seconds

  [cyan]lora-watch demo --model minilm[/]     a real encoder on BBC news (says what to install first)"""
)
def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller steps.")] = False,
    model: Annotated[
        Model,
        typer.Option(
            help="[bold]tiny[/]: a Llama inside this package, on Python sources. "
            "[bold]minilm[/]: MiniLM on BBC news. [bold]smollm2[/]: SmolLM2-135M on prose."
        ),
    ] = Model.tiny,
    output_dir: Annotated[
        Path, typer.Option(file_okay=False, help="Where the runs are written, one folder each.")
    ] = Path("lora-watch-demo"),
) -> None:
    """Train a real model twice, once well and once far too strongly, under the watch.

    Needs no network and no GPU. The healthy run ends without an alert. The other has a high alpha/r and an aggressive
    learning rate: it is named for what it is and stopped within its first steps. Exits with 0 when both went so,
    with 1 when not.
    """
    from lora_watch.demo.show import demo as run_demo

    try:
        code = run_demo(model.value, quick, output_dir, Console(highlight=False))
    except (MissingPackageError, FileExistsError, FileNotFoundError) as error:
        raise _misuse(str(error)) from None
    raise typer.Exit(code)


@app.command()
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
    raise _misuse(f"no rule is called {rule!r}; `lora-watch rules` lists them")


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


def _misuse(message: str) -> typer.Exit:
    """Print one line on standard error; the exit with code 2 to raise."""
    Console(stderr=True, highlight=False).print(Text(f"lora-watch: {message}"), soft_wrap=True)
    return typer.Exit(2)


def main() -> None:
    """The entry point of ``lora-watch``."""
    app()
