"""The same on one of two ranks (gloo, DDP): none hangs, and none ends alone.

``python -m tests.trainer.injection_ranks FOLDER I N WAY…`` is what each rank runs: every N-th row from the I-th on, and
those that its way names. A rank that waits for the other one fails after ``PATIENCE``.
"""

import contextlib
import datetime
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from lora_watch import LoraWatchCallback, LoraWatchError, Monitor
from tests.sharding.ways import fsdp2
from tests.support import build_trainer
from tests.trainer.injection import IDS, NOTHING, Injected, Target, counted, raising, replaced, targets, tiny

PATIENCE = datetime.timedelta(seconds=20)
STEPS = 4
MEETING = {
    "run.ranks.": "it is what the other rank waits for",
    **dict.fromkeys(("run.guard.", "measurement.hooks.Hook.__call__"), "it is what catches"),
    **dict.fromkeys(
        (
            *("run.engine.Engine.start", "run.engine.Engine.after_update", "run.engine.Engine.end"),
            "run.engine.Engine.before_update",
            *("run.engine.Engine.decide", "run.engine.Engine.raise_for"),
            *("run.engine.Engine._agree", "run.engine.Engine._fail"),
            *("run.recovery.Recovery.before_update", "run.recovery.Recovery.recover"),
            *("drivers.loop.Monitor.step", "drivers.loop.Monitor._start", "drivers.loop.Monitor._before_step"),
            *("drivers.loop.Monitor._raise_for", "drivers.events.TrainerEvents._raise_for"),
            *("drivers.loop.Monitor.__enter__", "drivers.loop.Monitor.__exit__"),
            *("drivers.events.TrainerEvents.on_train_", "drivers.events.TrainerEvents.on_step_end"),
            "drivers.events.TrainerEvents.on_pre_optimizer_step",
        ),
        "where it does not begin nobody goes to the other rank; each line of it has a door of its own, and is tried",
    ),
    "rules.policy.Policy.can_": "a setting: whether the ranks meet at all",
}
"""Beginnings of the names of what is not tried, and why not."""
SHARDED = {
    **dict.fromkeys(
        (
            *("run.engine.Engine._judge_the_start", "run.recording.Cadence.plan"),
            *("run.recording.Recorder.find", "run.recording.Recorder.measure", "run.recording.Recorder.plan"),
            *("run.recording.Recorder.read_gradients", "run.instruments.Instruments.watch"),
            *("run.instruments.Instruments.measure", "run.instruments.Instruments.arm"),
            *("run.monitored.MonitoredAdapters.find", "run.monitored.MonitoredAdapters.none_alone"),
            "run.monitored.MonitoredAdapters.gathered",
        ),
        "as above: it goes to the other rank, or decides whether both go",
    ),
    **dict.fromkeys(
        (
            *("adapters.adapter.", "adapters.sharding.", "adapters.tensors."),
            *("measurement.norms.base.", "measurement.signals.gradients."),
        ),
        "it reads what is dealt out, from one collective to the next",
    ),
}
"""The same where adapters are dealt out, and reading them takes the other rank."""


class Way(NamedTuple):
    """What is trained."""

    settings: dict[str, Any]
    """Of the monitor."""
    named: tuple[str, ...]
    """Ends of the names of callables that are always tried."""
    lr: float = 1.0


WAYS = {
    "loop": Way({"fail_on": "error"}, ("Recorder.complete", "Engine.failures"), 1e-3),
    "loop that explodes": Way({"fail_on": "error"}, ("Recorder.measure", "Engine.error")),
    "loop that recovers": Way({"recover": 3}, ("Recorder.complete", "Recovery.after_update", "Recovery._choose")),
    "trainer": Way({}, ("StepTap._see_loss", "TrainerEvents.on_step_begin"), 1e-3),
    "trainer that explodes": Way({"fail_on": "error"}, ("StepTap.take", "Recorder.before_update")),
    "fsdp2": Way({}, ("Recorder.complete", "peft_config.others", "Engine._look_again"), 1e-3),
}


def train(way: str, folder: Path, around: AbstractContextManager[Any] = NOTHING) -> tuple[str, int]:
    """How it ended on this rank, and after how many steps. What fails when it is built fails in the user's own line."""
    model, settings, lr = tiny(), WAYS[way].settings, WAYS[way].lr
    mine, done = IDS[dist.get_rank() :: 2], 0
    try:
        if way.startswith("trainer"):
            callback = LoraWatchCallback(console=False, tensorboard=False, **settings)
            data = [{"input_ids": row, "labels": row} for row in IDS.tolist()]
            files = {"output_dir": str(folder), "ddp_backend": "gloo"}
            trainer = build_trainer(model, data, STEPS, [callback], lr=lr, **files)  # type: ignore[arg-type]
            with around:
                trainer.train()
            return "ok", trainer.state.global_step
        wrapped = fsdp2(model)[0] if way == "fsdp2" else torch.nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
        monitor = Monitor(wrapped, optimizer, output_dir=folder, console=False, **settings)
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


def rows(folder: Path, way: str) -> Iterator[tuple[Target, bool]]:
    """What each training of this ``way`` calls, to fail at its first call or half-way."""
    calls: dict[str, int] = {}
    train(way, folder / "imports")
    known = targets()
    train(way, folder / "counted", counted(known, calls))
    everyone: list[Any] = [None, None]
    dist.all_gather_object(everyone, calls)
    for target in known:
        count = everyone[1].get(target.name, 0)
        if count and not target.name.startswith((*MEETING, *(SHARDED if way == "fsdp2" else ()))):
            yield from ((target, later) for later in (False, True) if count > later)


def main(folder: Path, first: int, step: int, ways: list[str]) -> None:
    torch.set_num_threads(1)
    logging.getLogger("lora_watch").setLevel(logging.CRITICAL + 1)
    dist.init_process_group("gloo", timeout=PATIENCE)
    rank, bad, tried = dist.get_rank(), [], 0
    for way in ways:
        found = list(rows(folder, way))
        named = [row for row in found if row[0].name.endswith(WAYS[way].named) and not row[1]]
        for target, later in [*found[first::step], *named]:
            tried += 1
            (folder / f"at{rank}").write_text(f"{way}, {tried}: {target.name} {later}")
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
