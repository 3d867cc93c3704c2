"""How a command says that it was called wrongly."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.text import Text

from lora_watch.base.text import clean


def misuse(message: str) -> typer.Exit:
    """Print one line on standard error; the exit with code 2 to raise."""
    Console(stderr=True, highlight=False).print(Text(clean(f"lora-watch: {message}")), soft_wrap=True)
    return typer.Exit(2)
