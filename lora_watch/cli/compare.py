"""``lora-watch compare``: runs side by side, from the files they left."""

from typing import Annotated

import typer

from lora_watch.cli.common import Runs, print_json, refusing

EXAMPLES = {
    "lora-watch compare runs": "every run below a folder, side by side",
    "lora-watch compare r8 r16 r32": "these runs",
    "lora-watch compare runs --metric eval_accuracy": "by another number of the evaluation",
    "lora-watch compare runs --json": "for a program",
}


def compare(
    runs: Runs,
    metric: Annotated[
        str | None,
        typer.Option(help="The metric. Default: eval_reward, eval_loss, reward, else final_loss, in the last tenth."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Compare finished runs: rank, alpha, scale, learning rate, quality and alerts of each, and all other differences.

    Runs that differ in their seed alone are one row, with their mean. Every other setting has to agree for that, and
    the training data have to be known to be the same.

    Exit code 0, or 2 when there is no run or one that cannot be read.
    """
    from lora_watch.runs.comparison import compare as compare_runs
    from lora_watch.runs.comparison import text

    with refusing(ValueError):
        compared = compare_runs(runs, metric)
    if json:
        print_json(compared.to_dict())
    else:
        typer.echo(text(compared))
    raise typer.Exit(compared.exit_code)
