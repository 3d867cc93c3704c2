"""How a command says that it was called wrongly."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.text import Text


def misuse(message: str) -> typer.Exit:
    """Print one line on standard error; the exit with code 2 to raise."""
    Console(stderr=True, highlight=False).print(Text(f"lora-watch: {message}"), soft_wrap=True)
    return typer.Exit(2)
