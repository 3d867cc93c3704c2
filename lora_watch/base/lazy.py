"""Imports on first use: the names of a package (PEP 562), and libraries that are optional."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazily(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``package``: gets what is asked for from the module that ``homes`` lists it under. Raises
    AttributeError for other names. Type checkers learn the names from imports under ``TYPE_CHECKING``."""
    home = {name: module for module, names in homes.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__


def needed(library: str) -> Any:
    """The optional module ``library``. Raises ModuleNotFoundError, which says how to install it."""
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        package = library.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        message = f"this part of lora_watch needs {package}, which is not installed: pip install {package}"
        raise ModuleNotFoundError(message, name=package) from None
