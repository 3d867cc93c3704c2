"""Python as if started afresh, without the seconds of its imports.

A fork of the tests' process, made when their modules have been imported and none has run, reads requests: a line of
JSON for processes at once. It forks for each, which costs milliseconds, and answers with a line. What a fork is not: a
process that imports in an order of its own. Tests of these start real ones.
"""

import atexit
import contextlib
import gc
import importlib
import json
import logging
import os
import runpy
import signal
import socket
import sys
import tempfile
import threading
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

ROOT = Path(__file__).parents[1]
PATIENCE = 500
"""Seconds after which a process is ended: one that waits for ever."""


class Done(NamedTuple):
    returncode: int
    """-14: it was ended."""
    stdout: str
    stderr: str


class Python:
    """Python that has imported these modules and all that the tests have. Called with the arguments of ``python``."""

    def __init__(self, *modules: str):
        (asked, self._ask_by), (self._said, answer_by) = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._ask_by)
            os.close(self._said)
            _forget_the_tests()
            _serve(modules, os.fdopen(asked), os.fdopen(answer_by, "w"))
        os.close(asked)
        os.close(answer_by)
        self._requests, self._answers = os.fdopen(self._ask_by, "w"), os.fdopen(self._said)

    def close(self) -> None:
        self._requests.close()
        self._answers.close()
        os.waitpid(self._pid, 0)

    def __call__(self, *words: object, folder: Path = ROOT, **variables: str) -> Done:
        """``variables``: of the environment, in which none of ours is set otherwise."""
        (done,) = self._ask(words, folder, [variables])
        return done

    def ranks(self, count: int, *words: object, folder: Path = ROOT, **variables: str) -> list[Done]:
        """``count`` processes at once that find each other, as torchrun starts them: one that fails ends the others."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        launched = {"TORCHELASTIC_RUN_ID": "none", "GROUP_RANK": "0"}  # Lightning goes by these
        of_all = variables | meet | launched | dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(count))
        return self._ask(words, folder, [of_all | dict.fromkeys(("RANK", "LOCAL_RANK"), str(n)) for n in range(count)])

    def _ask(self, words: Sequence[object], folder: Path, variables: list[dict[str, str]]) -> list[Done]:
        """One process for each of ``variables``, all at once."""
        request = [{"words": list(map(str, words)), "folder": str(folder), "variables": one} for one in variables]
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        return [Done(*done) for done in json.loads(self._answers.readline())]


def _forget_the_tests() -> None:
    """What pytest and the tests' modules have set up in this process is their own process's."""
    for number, mode in enumerate("rww"):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
        stream = open(number, mode, buffering=1, closefd=False)  # noqa: SIM115
        setattr(sys, ("stdin", "stdout", "stderr")[number], stream)
        setattr(sys, ("__stdin__", "__stdout__", "__stderr__")[number], stream)
    logging.getLogger().handlers.clear()
    importlib.reload(warnings)
    sys.unraisablehook, threading.excepthook = sys.__unraisablehook__, threading.__excepthook__
    atexit.unregister(weakref.finalize._exitfunc)  # type: ignore[attr-defined]  # would remove the tests' folders
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "conftest")]:
        del sys.modules[name]
    sys.path[:] = ["", str(ROOT), *sys.path]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def _serve(modules: Sequence[str], requests: IO[str], answers: IO[str]) -> NoReturn:
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a Trainer collects garbage: among what its training has made, and not in all that is imported
    for line in requests:
        print(json.dumps(_fork(json.loads(line))), file=answers, flush=True)
    os._exit(0)


def _fork(requests: Sequence[dict[str, Any]]) -> list[Done]:
    """A process for each, which does what is asked."""
    with contextlib.ExitStack() as stack:
        files = [[stack.enter_context(tempfile.TemporaryFile()) for _ in range(2)] for _ in requests]
        children = [_begin(request, *said) for request, said in zip(requests, files)]
        ended: dict[int, int] = {}
        while len(ended) < len(children):
            child, status = os.wait()
            ended[child] = status
            if status:
                for other in set(children) - ended.keys():
                    os.kill(other, signal.SIGTERM)
        return [_done(ended[child], said) for child, said in zip(children, files)]


def _begin(request: dict[str, Any], stdout: IO[bytes], stderr: IO[bytes]) -> int:
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE)
        os.dup2(stdout.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        _be_python(**request)
    return child


def _done(status: int, files: Sequence[IO[bytes]]) -> Done:
    said = []
    for file in files:
        file.seek(0)
        said.append(file.read().decode("utf-8", "replace"))
    return Done(os.waitstatus_to_exitcode(status), *said)


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
