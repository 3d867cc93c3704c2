"""``lora-watch advise``: what rank, alpha and learning rate to start from."""

from pathlib import Path
from typing import Annotated

import typer

from lora_watch.cli.common import refusing

EXAMPLES = {
    "lora-watch advise ./Llama-3-8B": "settings to start from",
    "lora-watch advise ./Llama-3-8B --task instruction-tuning": "a rank, an alpha and a learning rate",
    "lora-watch advise ./Llama-3-8B --task domain-adaptation --steps 1000": "for a run of that length",
}
MORE = (
    "Tasks: [cyan]classification[/] (ranks 4 to 8), [cyan]domain-adaptation[/] (8 to 16), "
    "[cyan]instruction-tuning[/] (16 to 64), [cyan]continued-pretraining[/] (64 to 256). "
    "[cyan]lora-watch preflight[/] judges settings of your own."
)


def advise(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="Folder with a config.json, or that file. Weights are optional: with them a learning rate is advised.",
        ),
    ],
    task: Annotated[str | None, typer.Option(help="The task: one of the four below.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps of the run: a long one wants a lower rate.")
    ] = None,
) -> None:
    """Advise a rank, an alpha and a learning rate to start from, with reasons and a LoraConfig to paste.

    The rank is the number of directions that an adapter may use. It buys room and costs parameters, r·(d_out + d_in) a
    layer. Alpha acts only through the scale s, α/r, or α/√r with rsLoRA, like a learning rate of the adapter. So the
    rank follows from the task and the data, and alpha from the rank.

    Nothing is trained. A config.json is enough for rank and alpha, and the learning rate needs the weights.
    """
    from lora_watch.tune.advise import advise as start_from

    with refusing(ValueError):
        advised = start_from(model, task, steps=steps)
    typer.echo(str(advised))
