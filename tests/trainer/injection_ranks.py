"""The same on one of two ranks (gloo, DDP): none hangs, and none ends alone.

``python -m tests.trainer.injection_ranks FOLDER I N WAY…`` is what each rank runs: every N-th row from the I-th on, and
those of ``NAMED``. A rank that waits for the other one fails after ``PATIENCE``.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from lora_watch import LoraWatchCallback, LoraWatchError, Monitor
from tests.support import build_trainer
from tests.trainer.injection import IDS, NOTHING, Injected, Target, counting, raising, replaced, targets, tiny

PATIENCE = datetime.timedelta(seconds=30)
STEPS = 4
MEETING = (
    *("monitor.ranks.", "monitor.guard."),
    *("monitor.run.Run.end_for", "monitor.run.Run.unresolved", "monitor.run.Run._agree", "monitor.run.Run._fail"),
    *("monitor.run._recovered", "monitor.run._dropped", "monitor.run.Run._own"),
    *("monitor.run.Run.after_update", "monitor.run.Run.end", "monitor.run.Run.start"),
    *("monitor.monitor.Monitor.step", "monitor.monitor.Monitor._begin", "monitor.monitor.Monitor._before_step"),
    *("monitor.monitor.Monitor.__enter__", "monitor.monitor.Monitor.__exit__"),
    *("trainer.events.TrainerEvents.on_", "trainer.step_tap.StepTap.reduce", "rules.policy.Policy.can_act"),
)
"""Beginnings of names: what tells the other rank something, and the way there. All that they call is guarded."""

NAMED = ("StepTap._see_loss", "Recorder.take", "Recorder.before_update", "Recovery.is_odd", "Judge.error")
"""Callables that are always tried, by the end of their names."""
WAYS: dict[str, dict[str, Any]] = {
    "loop": {"fail_on": "error"},
    "loop that explodes": {"fail_on": "error"},
    "loop that recovers": {"recover": 3},
    "trainer": {},
    "trainer that explodes": {"fail_on": "error"},
}
"""What is trained, and how the monitor is set."""


def train(way: str, folder: Path, around: AbstractContextManager[Any] = NOTHING) -> tuple[str, int]:
    """How it ended on this rank, and after how many steps. What fails when it is built fails in the user's own line."""
    model, lr = tiny(), 1e-3 if way in ("loop", "trainer") else 1.0
    mine, done = IDS[dist.get_rank() :: 2], 0
    try:
        if way.startswith("trainer"):
            callback = LoraWatchCallback(console=False, tensorboard=False, **WAYS[way])
            data = [{"input_ids": row, "labels": row} for row in IDS.tolist()]
            files = {"output_dir": str(folder), "ddp_backend": "gloo"}
            trainer = build_trainer(model, data, STEPS, [callback], lr=lr, **files)  # type: ignore[arg-type]
            with around:
                trainer.train()
            return "ok", trainer.state.global_step
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
        monitor = Monitor(wrapped, optimizer, output_dir=folder, console=False, **WAYS[way])
        with around, monitor:
            for batch in mine.split(4)[:STEPS]:
                loss = wrapped(input_ids=batch, labels=batch).loss
                loss.backward()
                optimizer.step()
                done += 1
                monitor.step(loss=loss)
                optimizer.zero_grad()
        return "ok", done
    except LoraWatchError:
        return "ended", done
    except Injected:
        return "raised", done


@contextlib.contextmanager
def counted(stack: contextlib.ExitStack, known: list[Target], calls: dict[str, int]) -> Iterator[None]:
    for target in known:
        stack.enter_context(replaced(target, counting(calls, target.name)))
    yield


def rows(folder: Path, way: str) -> Iterator[tuple[Target, bool]]:
    """What each training of this ``way`` calls, to fail at its first call or half-way."""
    calls: dict[str, int] = {}
    train(way, folder / "imports")
    known = targets()
    with contextlib.ExitStack() as stack:
        train(way, folder / "counted", counted(stack, known, calls))
    everyone: list[Any] = [None, None]
    dist.all_gather_object(everyone, calls)
    for target in known:
        count = everyone[1].get(target.name, 0)
        if count and not target.name.startswith(MEETING):
            yield from ((target, later) for later in (False, True) if count > later)


def main(folder: Path, first: int, step: int, ways: list[str]) -> None:
    torch.set_num_threads(1)
    logging.getLogger("lora_watch").setLevel(logging.CRITICAL + 1)
    dist.init_process_group("gloo", timeout=PATIENCE)
    rank, bad, tried = dist.get_rank(), [], 0
    for way in ways:
        found = list(rows(folder, way))
        named = [row for row in found if row[0].name.endswith(NAMED) and not row[1]]
        for target, later in [*found[first::step], *named]:
            tried += 1
            (folder / f"at{rank}").write_text(f"{way}: {target.name} {later}")
            harm = replaced(target, raising(int(later), target.name)) if rank else NOTHING
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                own = train(way, folder / f"{tried}", harm)
            both: list[Any] = [None, None]
            dist.all_gather_object(both, own)
            if both[0] != both[1] or "raised" in both[0]:
                bad.append([way, target.name, later, both])
    (folder / f"{rank}.json").write_text(json.dumps({"tried": tried, "bad": bad}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
