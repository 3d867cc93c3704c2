"""The result of a search, in words and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rich.table import Table

from lora_watch.base.text import mean_and_spread, short
from lora_watch.search.deciding import Outcome
from lora_watch.search.plan import Configuration, Plan


@dataclass
class SearchResult:
    """The result of a search. ``print(result)`` shows how it was found."""

    plan: Plan
    best: Configuration | None
    """The configuration to use, with seed 0 and the learning rate that it was trained at; None when no rank of the plan
    is sound."""
    rank: int | None
    plateau: bool
    """The curve is flat beyond ``rank``; False when the ranks ran out or a larger one failed."""
    story: list[str]
    outcomes: dict[Configuration, Outcome] = field(repr=False)
    """Every run that came to its end, or failed, as it was planned."""
    rates: Mapping[Configuration, float] = field(default_factory=dict, repr=False)
    """The learning rate that a sweep has found, by configuration with seed 0, where the plan has none."""

    def __str__(self) -> str:
        found, best = "No rank of the plan is sound.", self.best
        if best is not None:
            rslora = ", use_rslora=True" if best.use_rslora else ""
            rate = short(best.learning_rate)
            found = f"Use r={best.r}, lora_alpha={best.lora_alpha:.4g}{rslora}, learning_rate={rate}."
        return "\n".join([*self.story, found])

    def __rich__(self) -> Table:
        table = table_of_settings("metric", "runs")
        groups: dict[Configuration, list[Outcome]] = {}
        for each, outcome in sorted(self.outcomes.items(), key=lambda item: (item[0].r, item[0].scale)):
            groups.setdefault(self.as_trained(each.with_seed(0)), []).append(outcome)
        for each, runs in groups.items():
            values = [run.value for run in runs if run.value is not None]
            failed = next((run.why for run in runs if run.value is None), None)
            table.add_row(
                *settings_of(each),
                "failed" if failed else mean_and_spread(values),
                str(len(runs)),
                style="bold" if each == self.best else "red" if failed else None,
            )
        return table

    def as_trained(self, planned: Configuration) -> Configuration:
        """``planned`` with the learning rate that was found for it."""
        return replace(planned, learning_rate=self.rates.get(planned.with_seed(0), planned.learning_rate))


def table_of_settings(*more: str) -> Table:
    """An empty table for ``settings_of`` configurations, and ``more`` columns."""
    table = Table(box=None, pad_edge=False)
    for heading in ("r", "α", "s", "learning rate", "s·lr", *more):
        table.add_column(heading, justify="right")
    return table


def settings_of(each: Configuration) -> list[str]:
    effective_lr = None if each.learning_rate is None else each.effective_lr
    return [str(each.r), *map(short, (each.lora_alpha, each.scale, each.learning_rate, effective_lr))]
