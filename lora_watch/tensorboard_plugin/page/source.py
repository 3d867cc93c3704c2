"""The events in a run's files, as the tab's Reader asks for them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lora_watch.base.text import clean
from lora_watch.runs.events import Tensors
from lora_watch.runs.places import RunFiles
from lora_watch.runs.run import FinishedRun
from lora_watch.tensorboard_plugin.tensors import Stamp


class Files:
    """A Source of ``runs`` and where they lie; those that cannot be drawn go to ``unreadable``, in words."""

    name = ""

    def __init__(self, runs: Sequence[tuple[RunFiles, FinishedRun]], unreadable: list[str]):
        names = _names([place for place, _ in runs])
        self.runs: dict[str, FinishedRun] = {}
        self._tensors: dict[str, dict[str, Tensors]] = {}
        self._listing: dict[str, dict[str, Stamp]] = {}
        for place, run in runs:
            if not run.log:
                unreadable.append(f"{run.name}: there are no TensorBoard events, which hold the numbers of a report")
                continue
            name = names[place]
            self.runs[name] = run
            self._tensors[name] = found = run.log.tensors()
            self._listing[name] = {
                tag: Stamp(of_tag.records[-1].step, of_tag.records[-1].wall_time) for tag, of_tag in found.items()
            }

    def listing(self) -> dict[str, dict[str, Stamp]]:
        return self._listing

    def events(self, run: str, tag: str) -> Tensors:
        return self._tensors.get(run, {}).get(tag, Tensors())

    def evaluation(self) -> dict[str, float]:
        found = {name: run.evaluation.get("eval_loss") for name, run in self.runs.items()}
        return {name: loss for name, loss in found.items() if loss is not None}


def _names(places: Sequence[RunFiles]) -> dict[RunFiles, str]:
    """What each run is called: a page is shown to others, whom the folders above do not concern."""
    paths = [place.path.resolve() for place in places]
    above = os.path.commonpath(paths) if len(set(paths)) > 1 else None
    names = [clean(path.name if above is None else path.relative_to(above)) for path in paths]
    return {place: name if names.count(name) == 1 else clean(place.path) for place, name in zip(places, names)}
