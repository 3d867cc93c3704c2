"""``lora-watch advise``: what rank and alpha to start from."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lora_watch.cli import layers
from lora_watch.cli.common import print_json, refusing

if TYPE_CHECKING:
    from lora_watch.tune.advise import Advice
    from lora_watch.tune.carry_over import Transfer

EXAMPLES = {
    "lora-watch advise ./Llama-3-8B --task instruction-tuning": "a rank, an alpha and their cost",
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
            help="Folder with a config.json, or that file. Weights are optional: with them the first step is exact.",
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
    dtype: Annotated[str | None, typer.Option(help="Dtype of the frozen weights. Default: the model's.")] = None,
    from_model: Annotated[Path | None, typer.Option(help="Model on which --rank and --alpha were tuned.")] = None,
    to_model: Annotated[Path | None, typer.Option(help="Model to carry them over to.")] = None,
    alpha: Annotated[float | None, typer.Option(help="With --from-model: α there; default r.")] = None,
    rslora: Annotated[bool, typer.Option("--rslora", help="With --from-model: the scale there is α/√r.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Advise a rank, an alpha and a scale to start from, with reasons, cost, and a LoraConfig to paste.

    The rank is the number of directions that an adapter may use. It buys room and costs parameters, r·(d_out + d_in) a
    layer. Alpha acts only through the scale s, α/r, or α/√r with rsLoRA, like a learning rate of the adapter. So the
    rank follows from the task and the data, and alpha from the rank.

    Nothing is trained, and no weights are needed. Unknown numbers are marked. Start a search from this advice.
    """
    from lora_watch.tune.advise import Advice
    from lora_watch.tune.advise import advise as start_from
    from lora_watch.tune.carry_over import transfer

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
            advised = start_from(model, task, tokens=tokens, rank=rank, dtype=dtype, **both)
    if json:
        print_json(advised.to_dict())
        return
    console = layers.console()
    if isinstance(advised, Advice):
        _show(console, advised)
    else:
        console.print(Text(f"{advised.from_model} → {advised.to_model}", style="bold"))
        _list(console, advised.reasons())
        console.print(Text("Not carried over:"))
        _list(console, advised.does_not_transfer)
    console.print()
    if console.is_terminal:  # elsewhere the blanks would stay that Syntax fills its lines up with
        from rich.syntax import Syntax

        console.print(Syntax(advised.code(), "python", background_color="default"))
    else:
        console.print(Text(advised.code()))


def _show(console: Console, advised: Advice) -> None:
    console.print(Text(f"{advised.model}: {advised.task}", style="bold"))
    _list(console, advised.reasons())
    for line in _layers(advised, console.width):
        console.print(Text(line), soft_wrap=True)
    for sentence in advised.cost():
        console.print(Text(sentence))
    for alert in advised.findings:
        console.print(Text(str(alert).replace(" at step 0", ""), style="yellow"))
    _list(console, advised.notes)


def _list(console: Console, sentences: list[str] | tuple[str, ...]) -> None:
    wrapper = textwrap.TextWrapper(console.width, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
    for sentence in sentences:
        console.print(Text(wrapper.fill(sentence)), soft_wrap=True)


def _layers(advised: Advice, width: int) -> list[str]:
    headings = ["layers", "number", "d_out × d_in", "r·(d_out\n+ d_in)", "of the\nlayer", "in all"]
    lines = [
        [
            kind.name,
            str(kind.count),
            f"{kind.d_out} × {kind.d_in}",
            f"{kind.parameters:,}",
            f"{100 * kind.share:.2g} %" if kind.share < 1 else f"{100 * kind.share:,.0f} %",
            f"{kind.count * kind.parameters:,}",
        ]
        for kind in advised.layers
    ]
    total = ["all", str(sum(kind.count for kind in advised.layers)), "", "", "", f"{advised.adapter_parameters:,}"]
    return layers.layer_table(headings, lines, width, total)
