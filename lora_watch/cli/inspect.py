"""``lora-watch inspect``: what is in a saved adapter."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lora_watch.base.text import clean, first_of, formula, table
from lora_watch.cli.common import misuse, print_json, refusing

if TYPE_CHECKING:
    from lora_watch.tune.inspect import Inspection

EXAMPLES = {
    "lora-watch inspect my-adapter": "a saved adapter, layer by layer",
    "lora-watch inspect my-adapter --base ./Llama-3-8B": "relative to the base weights",
    "lora-watch inspect my-adapter --base ./Llama-3-8B --merge bfloat16": "what a merge would keep",
}
MORE = "No model is loaded and one layer is in memory at a time."


def inspect(
    adapter: Annotated[
        Path, typer.Argument(metavar="ADAPTER", help="Folder that save_pretrained or the Trainer wrote.")
    ],
    base: Annotated[Path | None, typer.Option(help="Folder of its base model. Adds the relative norms.")] = None,
    merge: Annotated[
        str | None,
        typer.Option(metavar="PRECISION", help="What a merge into --base keeps: float32, bfloat16, float16 or nf4."),
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Layers to show, those with the most energy first. 0: all.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead.")] = False,
) -> None:
    """Measure a saved adapter: rank, scale, every norm, the spectrum and the share of the energy of each layer.

    [bold]s[/] is the scale, α/r or α/√r. [bold]‖ΔW‖[/] = s·‖B·A‖ is the size of the update, [bold]σ₁[/] that of its
    strongest direction. The [bold]stable rank[/] ‖ΔW‖²/σ₁² and the [bold]effective rank[/] (entropy) show over how
    many directions it is spread. [bold]Energy[/] is the layer's share of Σ‖ΔW‖².

    Exits with 1 when the adapter is broken: it holds a NaN, or lacks layers of --base that target_modules names.
    """
    from lora_watch.tune import merging
    from lora_watch.tune.inspect import inspect_adapter

    if merge is not None and base is None:
        raise misuse("--merge needs --base, the folder of the model to merge into")
    with refusing(ValueError, OSError):
        inspection = inspect_adapter(adapter, base)
        merged = None if merge is None or base is None else merging.merge(inspection.saved, base, merge)
    if json:
        print_json(inspection.to_dict() | {"merge": None if merged is None else merged.to_dict()})
    else:
        _print(inspection, rows)
        for said in () if merged is None else (merged.verdict, *merged.notes):
            typer.echo(said)
    raise typer.Exit(1 if inspection.not_finite or inspection.missing else 0)


def _print(inspection: "Inspection", rows: int) -> None:
    measured, adapters = inspection.measurement, inspection.saved.adapters
    columns = ["product_norm", "delta_norm", "spectral_norm", "stable_rank", "effective_rank"]
    headings = ["r", "s", "‖B·A‖", "‖ΔW‖", "σ₁", "stable\nrank", "effect.\nrank", "energy"]
    if (measured.relative_norm == measured.relative_norm).any():
        columns += ["relative_norm", "relative_spectral_norm"]
        headings += ["‖ΔW‖\n/‖W₀‖", "σ₁\n/σ₁(W₀)"]
    order = sorted(range(len(adapters)), key=lambda i: _nan_first(inspection.energy[i]))
    lines = []
    for i in order[: rows or None]:
        values = [f"{getattr(measured, column)[i]:.3g}" for column in columns]
        energy, adapter = f"{100 * inspection.energy[i]:.3g} %", adapters[i]
        lines.append([str(adapter.r), f"{adapter.scale:.4g}", *values[:5], energy, *values[5:], adapter.name])
    for line in table([*headings, "layer"], lines, left=(len(headings),)):
        typer.echo(line)
    if len(lines) < len(order):
        typer.echo(f"… and {len(order) - len(lines)} more (--rows 0 shows all)")
    ranks = sorted({adapter.r for adapter in adapters})
    span = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
    kinds = ", ".join(sorted({adapter.variant for adapter in adapters}))
    formulas = ", ".join(sorted({formula(a.scale_formula).replace("alpha", "α") for a in adapters}))
    whole = f"‖ΔW‖ of all {inspection.delta_norm:.4g}, largest σ₁ {min(measured.spectral_norm, key=_nan_first):.3g}"
    head = f"{len(order)} layers ({kinds}), {inspection.saved.parameters:,} parameters, rank {span}, s = {formulas}"
    typer.echo(f"{head}, {whole}")
    if inspection.not_finite:
        typer.secho(f"NOT FINITE: {', '.join(inspection.not_finite[:5])}: this adapter is broken", fg="red")
    if lost := inspection.missing:
        said = f"{first_of(lost, 5)}: target_modules names these {len(lost)} layers, and the file lacks them"
        typer.secho(f"MISSING: {clean(said)}", fg="red")
    for note in inspection.notes:
        typer.echo(f"note: {note}")


def _nan_first(value: Any) -> tuple[bool, float]:
    unknown = value != value
    return not unknown, 0.0 if unknown else -float(value)
