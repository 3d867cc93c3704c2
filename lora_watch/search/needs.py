"""The one place that imports Optuna, and says what to install where it is missing."""

from __future__ import annotations

from typing import Any


def needs_optuna() -> Any:
    """The module ``optuna``. Raises ModuleNotFoundError with the command that installs it."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "optuna":
            raise
        raise ModuleNotFoundError(
            "lora_watch.search runs on Optuna, which is not installed: pip install optuna", name="optuna"
        ) from None
    return optuna
