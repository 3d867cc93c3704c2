"""``lora-watch preflight``: judges settings before a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lora_watch.cli.common import refusing

if TYPE_CHECKING:
    from lora_watch.tune.preflight import Preflight

EXAMPLES = {
    "lora-watch preflight sft.yaml": "settings before the run: TRL's YAML",
    "lora-watch preflight adapter_config.json training_args.json": "the files of PEFT and the Trainer",
    "lora-watch preflight sft.yaml --model ./Llama-3-8B": "with the layers, and the size of the first step",
}
MORE = "[cyan]args.to_json_string()[/] writes a training_args.json. [cyan]lora-watch rules LW401[/] explains a rule."


def preflight(
    settings: Annotated[
        list[Path],
        typer.Argument(
            metavar="SETTINGS…",
            help="adapter_config.json, training_args.json, a folder with them, or TRL's YAML. A later file overrides "
            "an earlier one.",
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the model, or its config.json. By default the folder that SETTINGS name, if there."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps of the run, if SETTINGS give epochs.")] = None,
    fail_on: Annotated[
        Literal["warning", "error", "never"], typer.Option(help="The least severity that makes the exit code 1.")
    ] = "warning",
) -> None:
    """Check a LoraConfig and TrainingArguments before anything is loaded.

    It asks the rules on settings (LW310, LW401, LW409, LW306 on weight decay), as a run does. With the model's
    weights it also says which learning rate is far too low (LW104) or too high, and names the one that `advise` names.

    Exit code 0: nothing was found. 1: there are findings of --fail-on or worse. 2: the settings cannot be read, or a
    key in them is unknown.
    """
    from lora_watch.base.alerts import Severity
    from lora_watch.tune.config_files import read_settings
    from lora_watch.tune.preflight import preflight as judge

    notes: list[str] = []
    with refusing(ValueError):
        given = read_settings(settings)
        if model is None and given.model is not None:
            model = Path(given.model)
            there = (model / "config.json").is_file()
            what = "and it is read" if there else "which is no folder with a config.json: --model takes one"
            notes.append(f"The settings name the model {given.model}, {what}.")
            model = model if there else None
        judged = judge(given.lora, given.arguments, model=model, max_steps=steps)
    _print(judged, notes, fail_on, given.rate_from)
    raise typer.Exit(0 if fail_on == "never" else judged.exit_code(Severity.parse(fail_on)))


def _print(judged: "Preflight", notes: list[str], fail_on: str, rate_from: Path | None) -> None:
    from lora_watch.base.text import clean, count, formula

    colours = {"ERROR": "red", "WARNING": "yellow"}
    for note in (*notes, *judged.notes):
        typer.echo(f"note: {clean(note)}")
    for alert in judged.findings:
        for line in str(alert).splitlines():
            typer.secho(clean(line), fg=colours.get(line.split(" ")[0]))
    adapters, rate = judged.run.adapters, judged.run.learning_rate
    r, alpha, scale = (
        "/".join(f"{value:.4g}" for value in sorted({getattr(adapter, name) for adapter in adapters}))
        for name in ("r", "alpha", "scale")
    )
    said = (
        f"r {r}, lora_alpha {alpha}, scale {scale} ({', '.join(sorted({formula(a.scale_formula) for a in adapters}))})"
    )
    said += "" if rate is None else f", learning rate {rate:.3g} ({rate_from})"
    typer.echo(f"{said}: {count(len(judged.findings), 'finding')}, with --fail-on {fail_on}")
