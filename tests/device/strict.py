"""A device for tests that is stricter than CUDA: ``torch.device("strict")``, after ``load()``.

A copy to the host that need not block arrives only when it is waited for, and is all NaN until then; so is memory that
nothing has written to. A tensor of the CPU's together with one of the device's is refused as CUDA refuses it. Whatever
waits for the device is noted, with its stack: ``waits()``.

The kernels are the CPU's, and so is the generator. What it does not have: streams, collectives, graphs, autocast.

The library is compiled once for a version of torch and of the source, by the compiler alone: torch's own builder needs
ninja and Python's headers.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock
from packaging.version import Version

NAME = "strict"
SOURCE = Path(__file__).with_name("strict.cpp")
PACKAGE = str(Path(__file__).parents[2] / "lora_watch") + os.sep
SINCE = Version("2.13")
"""The torch whose interfaces the source is written for."""


class Wait(NamedTuple):
    """One time that somebody waited for the device."""

    what: str
    """``item``, ``copy to the host``, ``copy from the host``, ``event``, ``stream``, ``device``, or an operation."""
    stack: tuple[str, ...]
    """``file:line function``, the innermost first."""

    @property
    def ours(self) -> bool:
        return any(frame.startswith(PACKAGE) for frame in self.stack)


_noted: list[Wait] | None = None


def why_not() -> str | None:
    """Why there is no such device here; None where there is."""
    if not sys.platform.startswith("linux"):
        return "the strict device is built on Linux alone"
    if Version(torch.__version__) < SINCE:
        return f"the strict device needs torch {SINCE} or newer"
    if _compiler() is None:
        return "the strict device needs a C++ compiler: g++ (tests/run.sh installs it), or CXX"
    return None


@functools.cache
def load() -> None:
    """Builds the device if nobody has yet, and registers it with torch: once a process, and for all of it."""
    library = build()
    torch.utils.rename_privateuse1_backend(NAME)
    torch.ops.load_library(str(library))
    ctypes.CDLL(str(library)).strict_on_wait(_note)
    torch._register_device_module(NAME, _module())  # type: ignore[no-untyped-call]
    torch.utils.generate_methods_for_privateuse1_backend()


@contextlib.contextmanager
def waits() -> Iterator[list[Wait]]:
    """Who waits for the device inside, in any thread."""
    global _noted
    before, _noted = _noted, []
    try:
        yield _noted
    finally:
        _noted = before


@ctypes.CFUNCTYPE(None, ctypes.c_char_p)
def _note(what: bytes) -> None:
    if _noted is not None:
        caller = sys._getframe().f_back  # None in a thread of torch's own
        frames = traceback.extract_stack(caller) if caller is not None else []
        _noted.append(Wait(what.decode(), tuple(f"{f.filename}:{f.lineno} {f.name}" for f in reversed(frames))))


def _module() -> types.ModuleType:
    """What torch, accelerate and others ask of ``torch.<name of a device>``."""
    module = types.ModuleType(f"torch.{NAME}")
    vars(module).update(
        Event=lambda **options: torch.Event(NAME, **options),
        Stream=torch.Stream,
        current_stream=lambda device=None: torch.accelerator.current_stream(NAME),
        synchronize=lambda device=None: torch.accelerator.synchronize(NAME),
        is_available=lambda: True,
        is_initialized=lambda: True,
        _is_in_bad_fork=lambda: False,
        device_count=lambda: 1,
        current_device=lambda: 0,
        set_device=lambda device: None,
        get_rng_state=lambda device=None: torch.get_rng_state(),
        set_rng_state=lambda state, device=None: torch.set_rng_state(state),
        manual_seed_all=lambda seed: None,
        get_amp_supported_dtype=lambda: [torch.bfloat16],
        memory_allocated=lambda device=None: 0,
        empty_cache=lambda: None,
    )
    return module


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX", "g++"))


def build() -> Path:
    """The library, compiled if nobody has yet."""
    source = f"{torch.__version__} {_compiler()} {os.uname().machine}".encode() + SOURCE.read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lora_watch_tests"
    cache.mkdir(parents=True, exist_ok=True)
    library = cache / f"strict-{hashlib.sha256(source).hexdigest()[:16]}.so"
    unfinished = library.with_suffix(f".{os.getpid()}")
    with FileLock(f"{library}.lock"):
        if not library.exists():
            folder = Path(torch.__file__).parent
            command = [
                *(str(_compiler()), "-std=c++20", "-O1", "-fPIC", "-shared", str(SOURCE), "-o", str(unfinished)),
                *(f"-isystem{folder / 'include' / part}" for part in (".", "torch/csrc/api/include")),
                *(f"-L{folder / 'lib'}", "-ltorch_cpu", "-lc10"),
                f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{SOURCE.name} does not compile:\n{done.stderr[-4000:]}")
            unfinished.rename(library)
    return library
