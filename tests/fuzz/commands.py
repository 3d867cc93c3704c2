"""Commands, each as if in a process of its own: how long it takes, how much memory, what it says.

``python -m tests.fuzz.commands MODULE…`` reads one command line a line of JSON and answers each with a line: it has
imported the modules already and forks for each, which costs milliseconds.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

PATIENCE = 120
"""Seconds after which a command is ended: one that waits for ever."""


class Done(NamedTuple):
    code: int
    """-14: it was ended."""
    seconds: float
    """CPU time: the machine may be busy."""
    memory: float
    """MiB at its highest, beyond what the modules take."""
    output: str


class Commands:
    """A context in which commands can be run that need these modules, or others."""

    def __init__(self, *modules: str):
        self._modules = modules

    def __enter__(self) -> Commands:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.commands", *self._modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def __call__(self, *words: object) -> Done:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(list(map(str, words))) + "\n")
        self._process.stdin.flush()
        return Done(*json.loads(self._process.stdout.readline()))


def _run(words: list[str], before: int = 0) -> Done:
    """``before``: KiB that a process takes which does nothing."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            signal.alarm(PATIENCE)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            _main(words) if words else os._exit(0)
        _, status, used = os.wait4(child, 0)
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    seconds, memory = used.ru_utime + used.ru_stime, (used.ru_maxrss - before) / 1024
    return Done(os.waitstatus_to_exitcode(status), seconds, memory, said)


def _main(words: list[str]) -> None:
    """As the installed command; does not return."""
    from lora_watch.cli import main

    code = 1
    try:
        sys.argv = ["lora-watch", *words]
        main()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    nothing = int(1024 * _run([]).memory)
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line), nothing)), flush=True)
