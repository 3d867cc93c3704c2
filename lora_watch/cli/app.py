"""The command ``lora-watch``: its subcommands, put together."""

import io
import sys
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from lora_watch import __version__
from lora_watch.cli import advise, check, compare, demo, inspect, preflight, report, rules, run, show
from lora_watch.cli.common import misuse, refusing
from lora_watch.settings import refuse_misspelt_variables

_COMMANDS: tuple[Any, ...] = (demo, rules, run, check, report, show, advise, preflight, inspect, compare)
_FIRST = [f"  [cyan]{call:32}[/]{said}" for call, said in (next(iter(each.EXAMPLES.items())) for each in _COMMANDS)]


def _stricter(kind: Any) -> Any:
    """Without the ``<bool>`` that typer puts beside each flag of its help. An option that is given twice is an error,
    where the first value would be dropped in silence."""

    def get_params(self: Any, ctx: Any) -> list[Any]:
        params = kind.get_params(self, ctx)
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params

    def parse_args(self: Any, ctx: Any, args: list[str]) -> list[str]:
        order = self.make_parser(ctx).parse_args(list(args))[-1]
        twice = (p for p in order if order.count(p) > 1 and not (p.multiple or p.is_flag or p.nargs < 0))
        if option := next(twice, None):
            ctx.fail(f"{option.opts[0]} is given twice")
        return kind.parse_args(self, ctx, args)

    return type(kind.__name__, (kind,), {"get_params": get_params, "parse_args": parse_args})


app = typer.Typer(
    name="lora-watch",
    cls=_stricter(TyperGroup),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Measures every LoRA adapter while it trains, and raises an alert when a run goes wrong.

In a training script one line is enough:

  [cyan]trainer = Trainer(…, callbacks=[LoraWatchCallback(fail_on="error")])[/]

This command runs, checks and compares trainings, and explains the rules.""",
    epilog="\n" + "\n\n".join(["Examples:", *_FIRST]),
)


class _Pipe(io.FileIO):
    """What nobody reads any more, as after ``| head``, is dropped: the exit code is of what was found."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lora-watch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
) -> None:
    with refusing(ValueError):
        refuse_misspelt_variables()
    if ctx.invoked_subcommand != "run" and isinstance(sys.stdout, io.TextIOWrapper):  # a script's output is its own
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no ‖ gets its escape, not an error
        if (old := sys.stdout) is sys.__stdout__ and not old.isatty():
            pipe: Any = _Pipe(old.fileno(), "wb", closefd=False)
            pipe = pipe if old.write_through else io.BufferedWriter(pipe)  # as Python does for PYTHONUNBUFFERED
            sys.stdout = io.TextIOWrapper(pipe, old.encoding, old.errors, write_through=old.write_through)


def _add(module: ModuleType) -> None:
    """Add the subcommand that a module is named after.

    Below its help stand the module's ``EXAMPLES``, calls and what each is for, and ``MORE``; ``SETTINGS`` are
    click's. The docstring's paragraphs are joined, since typer breaks a line wherever the source does.
    """
    command = getattr(module, module.__name__.rpartition(".")[2])
    paragraphs = [" ".join(paragraph.split()) for paragraph in (command.__doc__ or "").split("\n\n")]
    examples = [f"  [cyan]{call}[/]\n    {purpose}".rstrip() for call, purpose in module.EXAMPLES.items()]
    below = ["Examples:", *examples, getattr(module, "MORE", "")]
    # The line in front keeps what is indented indented: the first one does not count when indentation is taken off.
    epilog, settings = "\n" + "\n\n".join(below), getattr(module, "SETTINGS", None)
    app.command(cls=_stricter(TyperCommand), help="\n\n".join(paragraphs), epilog=epilog, context_settings=settings)(
        command
    )


for _command in _COMMANDS:
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
