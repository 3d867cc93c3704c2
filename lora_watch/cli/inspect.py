"""``lora-watch inspect``: what is in a saved adapter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lora_watch.base.text import table
from lora_watch.base.text import width as width_of
from lora_watch.cli.common import misuse, print_json, refusing, unwrapped_console

if TYPE_CHECKING:
    from lora_watch.tune.inspect import Inspection

EXAMPLES = {
    "lora-watch inspect out/checkpoint-500": "each layer: rank, scale, norms, spectrum",
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
    rows: Annotated[int, typer.Option(help="Layers to show, those with the most energy first. 0: all.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead.")] = False,
) -> None:
    """Measure a saved adapter: rank, scale, every norm, the spectrum and the share of the energy of each layer.

    [bold]s[/] is the scale, α/r or α/√r. [bold]‖ΔW‖[/] = s·‖B·A‖ is the size of the update, [bold]σ₁[/] that of its
    strongest direction. The [bold]stable rank[/] ‖ΔW‖²/σ₁² and the [bold]effective rank[/] (entropy) show over how
    many directions it is spread. [bold]Energy[/] is the layer's share of Σ‖ΔW‖².
    """
    from lora_watch.tune import merging
    from lora_watch.tune.inspect import inspect_adapter

    if merge is not None and base is None:
        raise misuse("--merge needs --base, the folder of the model to merge into")
    try:
        with refusing(ValueError):
            inspection = inspect_adapter(adapter, base)
            merged = None if merge is None or base is None else merging.merge(inspection.saved, base, merge)
    except OSError as error:
        raise misuse(f"{error.filename}: {error.strerror}") from None
    if json:
        print_json(inspection.to_dict() | {"merge": None if merged is None else merged.to_dict()})
        return
    console = unwrapped_console()
    _print(console, inspection, rows)
    for said in () if merged is None else (merged.verdict, *merged.notes):
        console.print(Text(said))


def _print(console: Console, inspection: Inspection, rows: int) -> None:
    measured = inspection.measurement
    relative = bool((measured.relative_norm == measured.relative_norm).any())
    columns = ["product_norm", "delta_norm", "spectral_norm", "stable_rank", "effective_rank"]
    headings = ["layer", "r", "s", "‖B·A‖", "‖ΔW‖", "σ₁", "stable\nrank", "effect.\nrank", "energy"]
    if relative:
        columns += ["relative_norm", "relative_spectral_norm"]
        headings += ["‖ΔW‖\n/‖W₀‖", "σ₁\n/σ₁(W₀)"]
    order = sorted(range(len(measured.names)), key=lambda i: _rank(inspection.energy[i]))
    lines = []
    for i in order:
        adapter = inspection.saved.adapters[i]
        values = [f"{getattr(measured, column)[i]:.3g}" for column in columns]
        head = [adapter.name, str(adapter.r), f"{adapter.scale:.4g}"]
        lines.append([*head, *values[:5], f"{100 * inspection.energy[i]:.3g} %", *values[5:]])
    _write(console, headings, lines, rows)
    ranks = sorted({adapter.r for adapter in inspection.saved.adapters})
    span = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
    kinds = ", ".join(sorted({adapter.variant for adapter in inspection.saved.adapters}))
    formulas = ", ".join(sorted({adapter.scale_formula.replace("alpha", "α") for adapter in inspection.saved.adapters}))
    whole = f"‖ΔW‖ of all {inspection.delta_norm:.4g}, largest σ₁ {min(measured.spectral_norm, key=_rank):.3g}"
    head = f"{len(order)} layers ({kinds}), {inspection.saved.parameters:,} parameters, rank {span}, s = {formulas}"
    console.print(Text(f"{head}, {whole}"))
    if inspection.not_finite:
        console.print(Text(f"NOT FINITE: {', '.join(inspection.not_finite[:5])}: this adapter is broken", style="red"))
    for note in inspection.notes:
        console.print(Text(f"note: {note}"))


def _write(console: Console, headings: list[str], lines: list[list[str]], most: int) -> None:
    """The first ``most`` of ``lines`` as a table, 0 for all; nothing where there is none."""
    shown = lines[: most or None]
    for line in _layer_table(headings, shown, console.width) if shown else ():
        console.print(Text(line), soft_wrap=True)
    if len(shown) < len(lines):
        console.print(Text(f"… and {len(lines) - len(shown)} more (--rows 0 shows all)"))


def _rank(value: Any) -> tuple[bool, float]:
    """Sorts NaN first, then the largest."""
    unknown = value != value
    return not unknown, 0.0 if unknown else -float(value)


def _layer_table(headings: Sequence[str], lines: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lines of text no wider than ``width`` where that can be: names to the left, everything else to the right.

    Each of ``lines`` is a layer, its name first. If the whole is too wide, the heading takes the beginning that all
    names share. If that is still too wide, each name gets its own line above its numbers. A heading may hold line
    breaks.
    """
    whole = table(headings, lines)
    if _fits(whole, width):
        return whole
    start = _shared([line[0] for line in lines])
    below = [[line[0].removeprefix(start), *line[1:]] for line in lines]
    shorter = table([f"{start}…", *headings[1:]], below)
    if start and _fits(shorter, width):
        return shorter
    numbers = table(headings[1:], [line[1:] for line in lines], left=())
    head = len(numbers) - len(lines)
    out = [headings[0], *(f"  {line}" for line in numbers[:head])]
    for line, row in zip(lines, numbers[head:]):
        out += [line[0], f"  {row}"]
    return out


def _fits(lines: Sequence[str], width: int) -> bool:
    return max(map(width_of, lines)) <= width


def _shared(names: Sequence[str]) -> str:
    """``model.layers.``, where all begin so; empty where nothing is shared. Every name keeps its last part."""
    places = zip(*(name.split(".")[:-1] for name in names))
    return "".join(f"{parts[0]}." for parts in takewhile(lambda parts: len(set(parts)) == 1, places))
