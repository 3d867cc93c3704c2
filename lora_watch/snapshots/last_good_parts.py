"""The last good adapter of a model that is spread over ranks: each copies and writes the part that it has.

Nothing is gathered. At fixed steps the first rank says what all do with their copies, so that they are of one step.
Each then writes its own part, and the last to have done so puts them together from the disk.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor, nn

from lora_watch.adapters.sharding import takes_every_rank
from lora_watch.adapters.sharding.parts import ShardLocation, part_of, place_of
from lora_watch.adapters.sharding.store import Channel
from lora_watch.base.alerts import Verdict
from lora_watch.base.records import RunInfo
from lora_watch.base.sink import Sink
from lora_watch.snapshots.last_good import LastGood, embeddings, embeddings_have_changed, next_to, remove, what_can_save
from lora_watch.snapshots.parts import read_parts, write_part
from lora_watch.snapshots.weights import StoredError

log = logging.getLogger("lora_watch")

MEET_EVERY = 8
"""Optimizer steps between two words of the first rank."""
SECONDS_TO_HEAR = 30.0
"""How long a rank waits for the first one's word, once: after that it keeps nothing."""
SECONDS_TO_WRITE = 10.0
"""How long the end of a run waits for the parts of all ranks."""
_END = "end"


class _Word(TypedDict):
    """What all ranks do with their copies, in this order."""

    keep: list[int]
    """Drop the copies of other steps than these."""
    take: int | None
    """Make a copy, if the parameters have as many steps behind them."""
    save: tuple[int, str] | None
    """Write the copy of this step, next to this folder."""


class Parts(LastGood):
    """What one rank keeps: the copies that the first rank wants."""

    def __init__(self, model: nn.Module, evidence: int):
        super().__init__(model, evidence)
        self._channel = Channel()
        self._at = -1
        """Steps whose update has been applied."""
        self._meetings = 0
        self._lost = False
        """The first rank was not heard in time."""
        self._placed: dict[str, Tensor] = {}
        self._places: dict[str, ShardLocation] = {}
        """Of ``_placed``, what this rank has a part of."""

    def follow(self, step: int) -> None:
        """The parameters now have ``step`` steps behind them: do as the first rank says."""
        if self._meets(step):
            self._hear(str(self._meetings))
            self._meetings += 1

    def end(self, verdict: Verdict) -> None:
        if self._trained and (verdict != "interrupted" or self._channel.said(_END)):  # then there is no time to wait
            self._hear(_END)

    def _why_not(self, trained: dict[str, Tensor]) -> str | None:
        if self._lost or not self._channel.open:
            return "the trained parameters are spread over processes, which do not hear of each other"
        weights = [getattr(layer, "weight", None) for layer in embeddings(self._model)]
        frozen = [weight for weight in weights if weight is not None and not weight.requires_grad]
        if takes_every_rank(frozen) and embeddings_have_changed(self._model):
            return "the embeddings are to be saved along, are not trained, and are spread over processes"
        return super()._why_not(trained)

    def _here(self) -> dict[str, Tensor]:
        if self._placed is not self._trained:
            self._placed = self._trained
            self._places = {n: place for n, p in self._trained.items() if (place := place_of(p)) is not None}
        return {name: part_of(self._trained[name]) for name in self._places}

    def _meets(self, step: int) -> bool:
        """The first rank has something to say: after the first step that it sees, and at fixed ones."""
        before, self._at = self._at, step
        return bool(self._trained) and step != before and (before < 0 or step % MEET_EVERY == 0)

    def _hear(self, place: str) -> None:
        try:
            word = self._channel.hear(place, SECONDS_TO_HEAR)
        except RuntimeError:  # the store's own for what does not come in time
            self._trained, self._lost = {}, True
            log.warning("lora_watch: the first rank does not keep a last good adapter, so this one keeps no part of it")
        else:
            self._obey(word)

    def _obey(self, word: _Word) -> None:
        self._copies.drop(*(copy for copy in self._good if copy.step not in word["keep"]))
        self._good = [copy for copy in self._good if copy.step in word["keep"]]
        if word["take"] == self._at:
            self._good.append(self._copy(self._at))
        if word["save"] is not None:
            self._save_part(*word["save"])

    def _save_part(self, step: int, place: str) -> None:
        """Write what this rank has of a copy. The last one to have done so puts all together."""
        copy = next((copy for copy in self._good if copy.step == step), None)
        if copy is None:
            return
        folder, parts = Path(place), next_to(Path(place), "parts")
        rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
        write_part(parts, copy.read(), self._places, step, rank, ranks)
        if self._channel.arrive(f"{step} written") == ranks:
            try:
                whole = read_parts(parts)
            except StoredError as error:  # the ranks share no folder
                log.warning("lora_watch: the last good adapter stays in parts: %s", error)
                return
            self._write(folder, step, whole)
            remove(parts)
            self._channel.say(f"{step} in place", True)


class FirstParts(Parts):
    """What the first rank keeps, which says what all do."""

    def __init__(self, model: nn.Module, evidence: int):
        super().__init__(model, evidence)
        self._at_hand = False
        """What is there now is good."""
        self._folder: Path | None = None
        """Where the good copy is wanted."""
        self._asked: tuple[Path, int] | None = None
        """Where the parts of which step have been asked for."""

    def updated(self, step: int, calm: bool) -> None:
        self._at_hand = False
        if self._meets(step):
            self._say(str(self._meetings), take=calm and self._is_time(step))
            self._channel.forget(str(self._meetings - 2))
            self._meetings += 1

    def take_good(self, step: int) -> None:
        if self._new is not None and self._new.step == step:
            self._promote()
        else:
            self._at_hand = True  # and copied only if the run ends here: the others may go on at any moment

    def save(self, folder: Path, verdict: Verdict | None = None) -> None:
        self._folder = folder.absolute()
        if verdict is not None:
            self.end(verdict)
            self._wait(folder, SECONDS_TO_WRITE if verdict != "interrupted" else 0.0)

    def end(self, verdict: Verdict) -> None:
        if self._trained and (verdict != "interrupted" or self._folder is not None):  # else there is no time to lose
            self._say(_END, now=self._at_hand and verdict == "failed")

    def is_saved(self, folder: Path) -> bool:
        step = self.step
        if step is not None and self._asked == (folder.absolute(), step) and self._channel.said(f"{step} in place"):
            self._saved = folder, step
        return super().is_saved(folder)

    def _say(self, place: str, take: bool = False, now: bool = False) -> None:
        """``take`` a new copy; or ``now`` a good one, which is to be written: nothing will be trained any more."""
        wanted, self._folder = self._folder, None
        now &= wanted is not None
        step, save = self._at if now else self.step, None
        if wanted is not None and step is not None and self._asked != (wanted, step):
            save, self._asked = (step, str(wanted)), (wanted, step)
            remove(next_to(wanted, "parts"))
        kept = [] if now else [copy.step for copy in (*self._good, self._new) if copy is not None]
        self._channel.say(place, _Word(keep=kept, take=self._at if take or now else None, save=save))
        if now:
            LastGood.take_good(self, self._at)
        elif take:
            self._new = self._copy(self._at)
        if save is not None:
            self._save_part(*save)

    def _wait(self, folder: Path, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._asked is not None and not self.is_saved(folder):
            if time.monotonic() >= until:
                self.why_unavailable = f"its parts have not come together within {seconds:g} s: see {folder.name}.parts"
                return
            time.sleep(0.02)


class PartKeeper(Sink):
    """The sink of a rank other than the first."""

    def __init__(self, model: nn.Module):
        self._parts: Parts | None = Parts(model, evidence=0)  # the first rank goes by it

    def start(self, run: RunInfo, step: int) -> None:
        if run.adapters and self._parts is not None:
            self._parts.begin()

    def updated(self, step: int) -> None:
        if self._parts is not None:
            self._parts.follow(step)

    def finish(self, verdict: Verdict, message: str | None) -> None:
        if self._parts is not None:
            self._parts.end(verdict)
        self._parts = None  # nor the model, which it knows


def last_good_of(model: nn.Module, evidence: int) -> LastGood:
    """What the first rank keeps of ``model``. ``evidence``: see LastGood."""
    return FirstParts(model, evidence) if _is_spread(model) else LastGood(model, evidence)


def part_keepers(model: nn.Module) -> list[PartKeeper]:
    """The sinks of another rank, which has a part of ``model``."""
    return [PartKeeper(model)] if _is_spread(model) else []


def _is_spread(model: nn.Module) -> bool:
    return takes_every_rank(p for p in what_can_save(model).parameters() if p.requires_grad)
