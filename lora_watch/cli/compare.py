"""``lora-watch compare``: runs side by side, from the files they left."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from lora_watch.cli.common import Runs, misuse, print_json, refusing, take_any_character

EXAMPLES = {
    "lora-watch compare runs": "every run below a folder",
    "lora-watch compare r8 r16 r32": "these runs",
    "lora-watch compare runs --metric eval_accuracy": "by another number of the evaluation",
    "lora-watch compare runs --json": "for a program",
}


def compare(
    runs: Runs,
    metric: Annotated[
        str | None,
        typer.Option(help="The metric to compare. Default: eval_loss, else train_loss, the training loss at the end."),
    ] = None,
    better: Annotated[
        Literal["higher", "lower"] | None,
        typer.Option(help="Default: lower for a metric whose name ends with loss, else higher."),
    ] = None,
    worth: Annotated[float, typer.Option(help="The least gain of a larger rank, in percent of the metric.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the tables.")] = False,
) -> None:
    """Compare finished runs: quality against rank with the plateau marked, norms, scales, and all other differences.

    Runs that differ only in their seed are one configuration. A gain is tested by seed, with a t-interval. Confounds
    are named: s that changes with r, s·lr that is not constant, other settings.

    Exit code 0, or 2 when there is no run or one that cannot be read.
    """
    from lora_watch.runs.comparison import compare as compare_runs
    from lora_watch.runs.comparison.text import text

    if not 0 < worth < 100:
        raise misuse(f"--worth {worth:g}: a percentage between 0 and 100")
    with refusing(ValueError):
        compared = compare_runs(runs, metric, None if better is None else better == "higher", worth / 100)
    take_any_character()
    if json:
        print_json(compared.to_dict())
    else:
        typer.echo(text(compared))
    raise typer.Exit(compared.exit_code)
