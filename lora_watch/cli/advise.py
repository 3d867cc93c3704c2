"""``lora-watch advise``: what rank, alpha and learning rate to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lora_watch.cli.common import print_json, refusing, take_any_character

EXAMPLES = {
    "lora-watch advise ./Llama-3-8B": "settings to start from",
    "lora-watch advise ./Llama-3-8B --task instruction-tuning": "a rank, an alpha and a learning rate",
    "lora-watch advise ./Llama-3-8B --task domain-adaptation --steps 1000": "for a run of that length",
    "lora-watch advise --from-model ./7B --to-model ./70B --rank 8 --alpha 16": "tuned settings for another model",
}
MORE = (
    "Tasks: [cyan]classification[/] (ranks 4 to 8), [cyan]domain-adaptation[/] (8 to 16), "
    "[cyan]instruction-tuning[/] (16 to 64), [cyan]continued-pretraining[/] (64 to 256). "
    "[cyan]lora-watch preflight[/] judges settings of your own."
)


def advise(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MODEL]",
            help="Folder with a config.json, or that file. Weights are optional: with them a learning rate is advised.",
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task: one of the four below.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps of the run: a long one wants a lower rate.")
    ] = None,
    from_model: Annotated[Path | None, typer.Option(help="Model on which --rank and --alpha were tuned.")] = None,
    to_model: Annotated[Path | None, typer.Option(help="Model to carry them over to.")] = None,
    rank: Annotated[int | None, typer.Option(help="With --from-model: the rank there.")] = None,
    alpha: Annotated[float | None, typer.Option(help="With --from-model: α there; default r.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Advise a rank, an alpha and a learning rate to start from, with reasons and a LoraConfig to paste.

    The rank is the number of directions that an adapter may use. It buys room and costs parameters, r·(d_out + d_in) a
    layer. Alpha acts only through the scale s, α/r, or α/√r with rsLoRA, like a learning rate of the adapter. So the
    rank follows from the task and the data, and alpha from the rank.

    Nothing is trained. A config.json is enough for rank and alpha, and the learning rate needs the weights.
    """
    from lora_watch.tune.advise import advise as start_from
    from lora_watch.tune.advise import transfer

    with refusing(ValueError):
        if from_model is not None or to_model is not None:
            if from_model is None or to_model is None or rank is None or model is not None:
                raise ValueError("give --from-model, --to-model and the --rank of the first, and no other model")
            advised = transfer(from_model, to_model, rank, alpha=alpha)
        elif model is None:
            raise ValueError("give the folder of a model; lora-watch advise --help has examples")
        elif (rank, alpha) != (None, None):
            raise ValueError("settings of your own belong to --from-model; lora-watch preflight judges them")
        else:
            advised = start_from(model, task, steps=steps)
    if json:
        print_json(advised.to_dict())
        return
    take_any_character()
    typer.echo(str(advised))
