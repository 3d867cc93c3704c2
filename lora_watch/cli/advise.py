"""``lora-watch advise``: what rank and alpha to start from."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from lora_watch.cli.common import print_json, refusing, unwrapped_console

if TYPE_CHECKING:
    from lora_watch.tune.advise import Advice, Transfer

EXAMPLES = {
    "lora-watch advise ./Llama-3-8B --task instruction-tuning": "a rank, an alpha and a learning rate",
    "lora-watch advise ./Llama-3-8B --task domain-adaptation --lr 2e-4": "with a learning rate",
    "lora-watch advise ./Llama-3-8B --rank 32 --targets q_proj,v_proj": "the numbers of your own choice",
    "lora-watch advise --from-model ./7B --to-model ./70B --rank 8 --alpha 16": "tuned settings for another model",
}
MORE = (
    "Tasks: [cyan]classification[/] (ranks 4 to 8), [cyan]domain-adaptation[/] (8 to 16), "
    "[cyan]instruction-tuning[/] (16 to 64), [cyan]continued-pretraining[/] (64 to 256)."
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
    tokens: Annotated[
        float | None, typer.Option(help="Tokens with a loss in one epoch (a classifier: labels).")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate, if it is fixed.")] = None,
    rank: Annotated[int | None, typer.Option(help="Show the numbers for this rank.")] = None,
    targets: Annotated[
        str, typer.Option(help="target_modules: all-linear, or names with commas between.")
    ] = "all-linear",
    from_model: Annotated[Path | None, typer.Option(help="Model on which --rank and --alpha were tuned.")] = None,
    to_model: Annotated[Path | None, typer.Option(help="Model to carry them over to.")] = None,
    alpha: Annotated[float | None, typer.Option(help="With --from-model: α there; default r.")] = None,
    rslora: Annotated[bool, typer.Option("--rslora", help="With --from-model: the scale there is α/√r.")] = False,
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

    named = [name.strip() for name in targets.split(",") if name.strip()]
    both: dict[str, Any] = {"learning_rate": lr, "target_modules": "all-linear" if named == ["all-linear"] else named}
    advised: Advice | Transfer
    with refusing(ValueError):
        if from_model is not None or to_model is not None:
            if from_model is None or to_model is None or rank is None or model is not None:
                raise ValueError("give --from-model, --to-model and the --rank of the first, and no other model")
            advised = transfer(from_model, to_model, rank, alpha=alpha, use_rslora=rslora, **both)
        elif model is None:
            raise ValueError("give the folder of a model; lora-watch advise --help has examples")
        elif alpha is not None or rslora:
            raise ValueError("--alpha and --rslora belong to --from-model; lora-watch preflight judges a whole choice")
        else:
            advised = start_from(model, task, tokens=tokens, rank=rank, **both)
    if json:
        print_json(advised.to_dict())
        return
    console = unwrapped_console()
    console.print(Text(advised.title, style="bold"))
    wrapper = textwrap.TextWrapper(console.width, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
    for sentence in advised.sentences():
        console.print(Text(wrapper.fill(sentence)), soft_wrap=True)
    console.print()
    console.print(Text(advised.code()))
