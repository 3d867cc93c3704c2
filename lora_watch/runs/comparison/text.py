"""A comparison for a terminal or a build log."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from lora_watch.base.plateau import the_best
from lora_watch.base.text import count, mean_and_spread, short, table
from lora_watch.runs.comparison.comparing import Comparison
from lora_watch.runs.comparison.curves import QualityCurve, SeedGroup, differences
from lora_watch.runs.comparison.trials import TRAIN_LOSS

_COLUMNS = {
    "delta_norm": "‖ΔW‖",
    "relative_norm": "‖ΔW‖/‖W₀‖",
    "output_ratio": "output_ratio",
    "stable_rank": "stable rank",
    "effective_rank": "effective rank",
}


_TEXTS = ("", "alerts", "folder")
"""Headings of columns of text."""


def text(comparison: Comparison) -> str:
    """The tables, what follows of them, and what stands against it."""
    blocks: list[list[str]] = []
    found = comparison.configurations
    if found:
        better = "higher" if comparison.higher_is_better else "lower"
        runs = count(sum(len(each.trials) for each in found), "run")
        title = f"{runs} in {count(len(found), 'configuration')}"
        blocks.append([f"{title}, by {comparison.metric} ({better} is better)", "", *_qualities(comparison)])
        blocks.append(["At the end, median adapter (largest), mean over the runs:", "", *_norms(found)])
    if len(found) > 1 and (different := differences(found)):
        blocks.append(["Other settings that differ:"])
        for name, by_value in different.items():
            having = (f"{value} ({', '.join(each.label for each in those)})" for value, those in by_value.items())
            blocks[-1].append(f"  {name}: {'; '.join(having)}")
    for curve in comparison.curves:
        confounds = (f"  confound: {confound}" for confound in curve.confounds)
        blocks.append([*curve_in_words(curve, comparison.worth), *confounds])
    if found and not comparison.curves:
        blocks.append(["There are no two ranks and no two scales with a quality to compare."])
    if comparison.notes:
        blocks.append([f"note: {note}" for note in comparison.notes])
    blocks += [[f"UNREADABLE {reason}"] for reason in comparison.unreadable]
    return "\n\n".join("\n".join(block) for block in blocks)


def _qualities(comparison: Comparison) -> list[str]:
    metrics = [comparison.metric, *([TRAIN_LOSS] if comparison.metric != TRAIN_LOSS else [])]
    rows = [["r", "α", "s", "lr", "s·lr", "trainable", "runs", *metrics, "alerts", "", "folder"]]
    marks = {id(curve.chosen): curve for curve in reversed(comparison.curves)}
    for each in comparison.configurations:
        here = marks.get(id(each))
        size = next((t.trainable_parameters for t in each.trials if t.trainable_parameters is not None), None)
        rows.append(
            [
                *_head(each),
                short(each.lr),
                short(each.effective_lr),
                "?" if size is None else f"{size:,}",
                str(len(each.trials)),
                *(mean_and_spread(list(each.values(metric).values())) for metric in metrics),
                _alerts(each),
                "" if here is None else _mark(here, comparison),
                each.label,
            ]
        )
    return _table(rows)


def _mark(curve: QualityCurve, comparison: Comparison) -> str:
    """What the configuration is that ``curve`` has chosen: one outside of the curve may be better still."""
    if curve.chosen is not curve.best:
        return "← smallest that is as good"
    means = {
        id(c): statistics.fmean(v) for c in comparison.configurations if (v := c.values(comparison.metric).values())
    }
    if means[id(curve.best)] == (max if comparison.higher_is_better else min)(means.values()):
        return "← best"
    return f"← best {'rank' if curve.along == 'r' else 'scale'} of its curve"


def _norms(found: Sequence[SeedGroup]) -> list[str]:
    shown = [name for name in _COLUMNS if any(name in trial.norms for each in found for trial in each.trials)]
    rows = [["r", "α", "s", *(_COLUMNS[name] for name in shown)]]
    for each in found:
        row = _head(each)
        for name in shown:
            values = [trial.norms[name] for trial in each.trials if name in trial.norms]
            median, largest = [statistics.fmean(v) for v in zip(*values)] if values else [None, None]
            row.append(f"{short(median)} ({short(largest)})" if values else "?")
        rows.append(row)
    return _table(rows)


def curve_in_words(curve: QualityCurve, worth: float) -> Iterator[str]:
    """What is held, the gain of each step along the curve, and what follows, one sentence a line."""
    what, unit = ("Rank", "r") if curve.along == "r" else ("Scale", "s")
    first, last = _place(curve, curve.configurations[0]), _place(curve, curve.configurations[-1])
    held = f" with {curve.held()}" if curve.held() else ""
    yield f"{what}, {unit} from {first} to {last}{held}:"
    for pair in curve.pairs:
        because = f", {pair.gain.because(worth)}" if curve.along == "r" else ""
        yield (
            f"  {_place(curve, pair.before)} → {_place(curve, pair.after)}: {pair.gain} over "
            f"{count(pair.gain.pairs, 'pair')} of runs{because}"
        )
    chosen, best = _place(curve, curve.chosen), _place(curve, curve.best)
    if curve.along == "scale":
        rises = (pair.gain.low > 0 for pair in curve.pairs if pair.after is curve.best)
        falls = (pair.gain.high < 0 for pair in curve.pairs if pair.before is curve.best)
        yield f"  s = {best} is {the_best(all((*rises, *falls)))} of {len(curve.configurations)}."
    else:
        if curve.plateau is not None:
            beyond = "a larger one is worse" if curve.turns else "the curve is flat"
            yield f"  Plateau: from rank {_place(curve, curve.plateau)} on {beyond}."
        else:
            yield f"  No plateau is proven up to rank {last}."
        if chosen != best:
            better = f"the smallest that is as good as {best}"
        else:
            better = the_best(not any(pair.gain.verdict(worth) == "open" for pair in curve.pairs))
        yield f"  Rank {chosen} is {better}."


def _head(each: SeedGroup) -> list[str]:
    return [short(each.r), short(each.alpha), short(each.scale)]


def _place(curve: QualityCurve, each: SeedGroup) -> str:
    return short(getattr(each, curve.along))


def _alerts(each: SeedGroup) -> str:
    names = {name for trial in each.trials for name in trial.alerts}
    sums = {name: sum(trial.alerts.get(name, 0) for trial in each.trials) for name in ("error", "warning", "info")}
    counts = ", ".join(f"{n} {name}" for name, n in sums.items() if name in names)
    out = sum(trial.out is not None for trial in each.trials)
    return "; ".join(part for part in (counts, f"{out} left out" if out else "") if part)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Texts to the left; columns with nothing under their heading are left out."""
    columns = [column for column in zip(*rows) if any(column[1:])]
    headings, *lines = zip(*columns)
    return table(headings, lines, left=[place for place, heading in enumerate(headings) if heading in _TEXTS])
