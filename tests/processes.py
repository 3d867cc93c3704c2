"""Python as if started afresh, without the seconds of its imports: how long it takes, how much memory, what it says.

``python -m tests.processes MODULE…`` reads a request a line of JSON and answers each with a line: it has imported the
modules already and forks for each, which costs milliseconds. What a fork is not: a process that imports in an order of
its own, or that is sent signals. Tests of these start real ones.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PATIENCE = 120
"""Seconds after which a process is ended: one that waits for ever."""


class Done(NamedTuple):
    returncode: int
    """-14: it was ended."""
    seconds: float
    """CPU time: the machine may be busy."""
    memory: float
    """MiB at its highest, beyond what the modules take."""
    stdout: str
    stderr: str


class Python:
    """A context in which Python has imported these modules. Called with the arguments of ``python``."""

    def __init__(self, *modules: str):
        self._modules = modules

    def __enter__(self) -> Python:
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.processes", *self._modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def __call__(self, *words: object, folder: Path = ROOT, **variables: str) -> Done:
        """``variables``: of the environment, in which none of ours is set otherwise."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"words": list(map(str, words)), "folder": str(folder), "variables": variables}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Done(*json.loads(self._process.stdout.readline()))


def _fork(request: dict[str, Any] | None, before: int = 0) -> Done:
    """``before``: KiB that a process takes which does nothing."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        child = os.fork()
        if child == 0:
            signal.alarm(PATIENCE)
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            _be_python(**request) if request else os._exit(0)
        _, status, used = os.wait4(child, 0)
        said = []
        for stream in (stdout, stderr):
            stream.seek(0)
            said.append(stream.read().decode("utf-8", "replace"))
    seconds, memory = used.ru_utime + used.ru_stime, (used.ru_maxrss - before) / 1024
    return Done(os.waitstatus_to_exitcode(status), seconds, memory, *said)


def _be_python(words: list[str], folder: str, variables: dict[str, str]) -> None:
    """Runs ``script.py …`` or ``-m module …``; does not return."""
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith("LORA_WATCH_")]:
        del os.environ[name]
    os.environ |= variables
    code = 0
    try:
        if words[0] == "-m":
            sys.argv, sys.path[0] = words[1:], folder
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = words, str(Path(words[0]).parent)
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)
    except BaseException as error:
        sys.last_value = error
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    finally:  # as the interpreter does, without the time that it takes to free all memory
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    nothing = int(1024 * _fork(None).memory)
    for line in sys.stdin:
        print(json.dumps(_fork(json.loads(line), nothing)), flush=True)
