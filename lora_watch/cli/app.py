"""The command ``lora-watch``: its subcommands, put together."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from lora_watch import __version__
from lora_watch.cli import advise, check, compare, demo, inspect, preflight, report, rules, run, show
from lora_watch.cli.common import misuse

_EXAMPLES = {
    "lora-watch demo --quick": "a healthy, a failed and a fixed run",
    "lora-watch run train.py": "a training script as it is, monitored",
    "lora-watch check out": "check a finished run: exit code 0, 1 or 2",
    "lora-watch report out": "the LoRA tab as one file that opens offline",
    "lora-watch show out --follow": "a run in the terminal, while it goes on",
    "lora-watch advise MODEL": "a rank and an alpha to start from",
    "lora-watch preflight sft.yaml": "check settings before the run",
    "lora-watch compare runs": "runs side by side: settings, quality, alerts",
    "lora-watch inspect ADAPTER": "a saved adapter, layer by layer",
    "lora-watch rules": "all rules",
    "lora-watch rules LW102": "one rule: when it fires and its thresholds",
}


class _NoTypeOfFlags:
    """Typer puts ``<bool>`` beside each flag of its help."""

    def get_params(self, ctx: Any) -> list[Any]:
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class _Command(_NoTypeOfFlags, TyperCommand):
    pass


class _Group(_NoTypeOfFlags, TyperGroup):
    pass


app = typer.Typer(
    name="lora-watch",
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Measures every LoRA adapter while it trains, and raises an alert when a run goes wrong.

In a training script one line is enough:

  [cyan]trainer = Trainer(…, callbacks=[LoraWatchCallback(fail_on="error")])[/]

This command runs, checks and compares trainings, and explains the rules.""",
    epilog="\nExamples:\n\n"
    + "\n\n".join(f"  [cyan]{call}[/]{' ' * (32 - len(call))}{purpose}" for call, purpose in _EXAMPLES.items()),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lora-watch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
) -> None:
    pass


def _add(module: ModuleType) -> None:
    """Add the subcommand that a module is named after.

    Below its help stand the module's ``EXAMPLES``, calls and what each is for, and ``MORE``; ``SETTINGS`` are
    click's. The docstring's paragraphs are joined, since typer breaks a line wherever the source does.
    """
    command = getattr(module, module.__name__.rpartition(".")[2])
    paragraphs = [" ".join(paragraph.split()) for paragraph in (command.__doc__ or "").split("\n\n")]
    calls = getattr(module, "EXAMPLES", {}).items()
    examples = [f"  [cyan]{call}[/]" + (f"\n    {purpose}" if purpose else "") for call, purpose in calls]
    below = ["Examples:", *examples, getattr(module, "MORE", "")] if examples else []
    # The line in front keeps what is indented indented: the first one does not count when indentation is taken off.
    epilog, settings = "\n" + "\n\n".join(below), getattr(module, "SETTINGS", None)
    app.command(cls=_Command, help="\n\n".join(paragraphs), epilog=epilog, context_settings=settings)(command)


for _command in (demo, rules, run, check, report, show, advise, preflight, inspect, compare):
    _add(_command)


def main() -> None:
    """The entry point of ``lora-watch``. An unexpected error is one line and exit code 2, never 0 or 1."""
    debug = "--debug" in sys.argv[1:2]
    try:
        app()
        return
    except run.Handover as handover:
        script = handover
    except Exception as error:  # SystemExit, which click raises at every end, is none
        if debug:
            raise
        reason = f"{type(error).__name__}: {error}".strip(": ")
        sys.exit(misuse(f"{reason} (lora-watch --debug … shows the traceback)").exit_code)
    run.start(script)
