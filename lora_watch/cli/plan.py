"""``lora-watch plan``: writes down what to try."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lora_watch.cli.common import refusing, writing

if TYPE_CHECKING:
    from lora_watch.search.plan import Plan

EXAMPLES = {
    "lora-watch plan --lr 2e-4": "ranks 8, 16, 32 … with α = r",
    "lora-watch plan --lr 2e-4 --out ranks.json": "the same as a file, one entry a run",
    "lora-watch compare runs": "after the runs: the rank from which the curve is flat",
    "lora-watch plan --lr 2e-4 --at-rank 32 --out scales.json": "then the scales at that rank",
    "lora-watch plan --lr 2e-4 --rslora --alpha 16": "hold α under rsLoRA instead of s",
}
MORE = "From Python [cyan]lora_watch.search.search(train, Plan())[/] finds the rate, runs both stages and stops."


def plan(
    lr: Annotated[float, typer.Option("--lr", help="Learning rate for --scale; lora-watch run --find-lr finds it.")],
    ranks: Annotated[str, typer.Option(help="Ranks to try, ascending.", metavar="R,R…")] = "8,16,32,64,128",
    scale: Annotated[float, typer.Option(help="The scale s, held while the rank is searched: α = s·r.")] = 1.0,
    scales: Annotated[str, typer.Option(help="Scales to try at --at-rank.", metavar="S,S…")] = "0.5,1,2,4",
    at_rank: Annotated[
        int | None, typer.Option(help="Write the second stage: the scales at this rank.", metavar="R")
    ] = None,
    rslora: Annotated[bool, typer.Option("--rslora", help="Use rsLoRA: s = α/√r.")] = False,
    alpha: Annotated[float | None, typer.Option(help="With --rslora: hold this α over the ranks, not s.")] = None,
    keep_effective_lr: Annotated[
        bool, typer.Option("--keep-effective-lr", help="In the second stage divide the learning rate, so s·lr stays.")
    ] = False,
    seeds: Annotated[int, typer.Option(help="Runs of each configuration.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the configurations to this file, as JSON.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print them as JSON instead of the table.")] = False,
) -> None:
    """List the runs of a search: the rank at a held scale until it no longer pays, then the scale at that rank.

    The first stage changes only the rank. Each configuration runs with several seeds, to tell a difference from noise.
    """
    from lora_watch.search.plan import Plan, numbers

    with refusing(ValueError):
        made = Plan(
            learning_rate=lr,
            ranks=numbers(ranks, int, "--ranks"),
            scale=scale,
            scales=numbers(scales, float, "--scales"),
            use_rslora=rslora,
            alpha=alpha,
            keep_effective_lr=keep_effective_lr,
            seeds=seeds,
            most_seeds=max(seeds, Plan.most_seeds),
        )
        if at_rank is not None and at_rank < 1:
            raise ValueError(f"--at-rank {at_rank}: a rank is 1 or more")
    content = made.to_json(at_rank)
    if out is not None:
        with writing(out):
            out.write_text(content, encoding="utf-8")
    if json:
        typer.echo(content, nl=False)
        return
    console = Console(highlight=False)
    console.print(_table(made, at_rank))
    for note in made.notes(at_rank):
        console.print(Text(note))
    if out is not None:
        console.print(Text(f"{len(made.configurations(at_rank))} runs written to {out}"))
    if at_rank is None:
        console.print(Text("Stop at the rank where twice as much no longer pays: lora-watch compare RUN… marks it."))


def _table(plan: Plan, rank: int | None) -> Table:
    from lora_watch.search.result import settings_of, table_of_settings

    table = table_of_settings("first step", "seeds")
    rows = Counter(each.with_seed(0) for each in plan.configurations(rank))
    first = next(iter(rows)).first_step
    for each, count in rows.items():
        table.add_row(*settings_of(each), f"× {each.first_step / first:.3g}", str(count))
    return table
