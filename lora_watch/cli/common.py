"""Parts that several commands share: their argument RUN…, and how they print and fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from lora_watch.base.text import clean

Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN…",
        help="The Trainer's output_dir, its lora_watch folder, a report.json, or a folder of runs.",
    ),
]


def note(message: str) -> None:
    typer.echo(f"lora-watch: {message}", err=True)


def misuse(message: str) -> typer.Exit:
    """Say on standard error what is wrong with the call; the exit with code 2 to raise."""
    note(clean(message))
    return typer.Exit(2)


@contextmanager
def refusing(*kinds: type[Exception]) -> Iterator[None]:
    """An error of these kinds inside is a misuse."""
    try:
        yield
    except kinds as error:
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
        raise misuse(said) from None


def print_json(content: Any) -> None:
    from lora_watch.base.strict_json import strict_json

    typer.echo(strict_json(content).decode())
