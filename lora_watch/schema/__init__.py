"""JSON Schemas of the files that a run leaves and of what commands write as JSON, made from types.

``python -m lora_watch.schema FOLDER`` writes them as files. An ``Annotated`` type carries a description, or further
keywords of JSON Schema. Every number may be ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from lora_watch.alerts import Alert
from lora_watch.records import AdapterInfo, Recovered
from lora_watch.schema.of_sweeps import of_a_sweep
from lora_watch.schema.of_types import Also, of, of_dataclass
from lora_watch.sinks import Verdict

Count = Annotated[int, Also(minimum=0)]
Positive = Annotated[int, Also(minimum=1)]
Two = Also(minItems=2, maxItems=2)
SeverityName = Literal["INFO", "WARNING", "ERROR"]
Level = Literal["info", "warning", "error", "never"]


# -- what a run leaves -------------------------------------------------------------------------------------------------
class Concerned(TypedDict):
    name: str
    value: Annotated[float | None, "Of `metric`; null where it is not finite: see `text`."]
    text: str


class Line(TypedDict):
    event: Literal["opened", "closed"]
    run_id: str
    time: str


class Point(TypedDict):
    step: Count
    value: float


class Ends(TypedDict):
    first: Point | None
    last: Point | None
    min: Annotated[Point | None, "Of the finite ones."]


class Extremes(TypedDict):
    last: Point | None
    min: Point | None
    max: Point | None


class Measured(TypedDict):
    last: Annotated[dict[str, float | None], "By metric, as last measured."]
    max: Annotated[dict[str, float | None], "By metric, over the whole run, NaN ignored."]


class RuleInfo(TypedDict):
    id: str
    name: str
    severity: SeverityName
    zone: Annotated[str | None, "The run's zone while an alert of this rule is open."]
    thresholds: dict[str, Any]
    explains: str


class Lost(TypedDict):
    lost: Annotated[Count, "Steps that taught nothing: those discarded, and those whose update was dropped."]


class Report(TypedDict):
    version: Literal[1]
    verdict: Annotated[Verdict, "A run that is still going, or was killed, has `interrupted`."]
    message: str | None
    run_id: str
    session: Positive
    started: str
    updated: str
    step: Count
    max_steps: Count | None
    overhead: float | None
    overhead_after_start: float | None
    start_seconds: float | None
    full_every: Positive | None
    loss: Ends
    evaluation: Annotated[dict[str, Extremes], "Results of evaluations, by the Trainer's name."]
    alerts: list[Alert]
    first: Annotated[Count | None, "Which of `alerts` to read first; null without any."]
    recoveries: list[Annotated[Recovered, Also(allOf=[of(Lost)])]]
    adapters: list[Annotated[AdapterInfo, Also(allOf=[of(Measured)])]]
    measured_at: Annotated[dict[str, Count | None], "By metric, the step of `last`."]
    optimizer: str | None
    peak_lr: list[float]
    rules: list[RuleInfo]
    config: dict[str, Any]
    versions: dict[str, str]
    notes: list[str]


class LastGood(TypedDict):
    folder: str
    step: Count


class RandomState(TypedDict, total=False):
    step: Count
    torch: Annotated[str, Also(contentEncoding="base64")]
    devices: dict[str, list[Annotated[str, Also(contentEncoding="base64")]]]
    numpy: Annotated[list[Any], Also(minItems=5, maxItems=5)]
    python: Annotated[list[Any], Also(minItems=4, maxItems=4)]


class _Incident(TypedDict):
    version: Literal[1]
    run_id: str
    time: str
    step: Count | None
    verdict: Verdict | None
    message: str | None
    alert: Alert | None
    alerts: list[Alert]
    last_good: LastGood | None
    last_good_unavailable: Annotated[str | None, "Why no adapter can be kept; null if one can."]
    adapters: Annotated[list[AdapterInfo], "In the order of every vector."]
    steps: list[Count]
    zones: Annotated[list[str], "The run's zone at each step."]
    loss: list[float | None]
    lr: list[list[float]]
    scalars: dict[str, list[float | None]]
    metrics: Annotated[dict[str, list[list[float | None] | None]], "[steps][adapters]; null where not measured."]
    rng: Annotated[RandomState, "The random state after its step; empty if that was not seen."]
    config: dict[str, Any]
    versions: dict[str, str]


class Incident(_Incident, total=False):
    inputs_sha256: Annotated[list[str | None], "Of each step's batch, only if asked for."]


# -- check and compare -------------------------------------------------------------------------------------------------
class BaselineAdapter(TypedDict):
    r: Count | None
    scale: float | None
    delta_norm: Annotated[list[float | None], "At each of `steps`."]


class Tolerances(TypedDict, total=False):
    loss: Annotated[float, "Share by which the final loss may be higher."]
    typical_norm: Annotated[float, "Share by which the median layer's norm may differ."]
    layer_norm: Annotated[float, "Factor by which one layer may differ from the median."]
    scale: float


class Baseline(TypedDict):
    kind: Literal["lora_watch baseline"]
    version: Literal[1]
    name: str
    tolerances: Tolerances
    step: Count
    loss: Annotated[float | None, "Mean over the last tenth of the steps."]
    trainable_parameters: Count | None
    steps: list[Count]
    adapters: dict[str, BaselineAdapter]


class FirstAndLast(TypedDict):
    first: float | None
    last: float | None


class Largest(TypedDict):
    metric: str
    name: str
    value: float


class CheckedRun(TypedDict):
    name: str
    failed: Annotated[bool, "It has findings at or above `fail_on`."]
    verdict: Verdict
    message: str | None
    step: Count
    max_steps: Count | None
    updated: str | None
    loss: FirstAndLast
    adapters: Count
    trainable_parameters: Count | None
    largest: Annotated[Largest | None, "The adapter with the highest output_ratio."]
    compared: Annotated[bool, "With a baseline."]
    findings: list[Alert]
    story: Annotated[list[str], "The story of the incident record."]
    notes: list[str]


class Check(TypedDict):
    version: Literal[1]
    exit_code: Literal[0, 1, 2]
    fail_on: Level
    runs: list[CheckedRun]
    unreadable: list[str]


class Norms(TypedDict):
    median: float
    max: float


class ComparedRun(TypedDict):
    name: str
    seed: int | None
    step: Count
    left_out: Annotated[str | None, "Why its quality does not count; null if it does."]
    quality: Annotated[dict[str, float], "Results of the last evaluation, and `train_loss` of the last tenth."]
    norms: Annotated[dict[str, Norms], "At the end, by metric: the median adapter and the largest."]
    trainable_parameters: Count | None
    alerts: Annotated[dict[str, Positive], "How many, by severity; those there are."]


class SeedGroup(TypedDict):
    r: Count | None
    alpha: float | None
    scale: float | None
    learning_rate: float | None
    effective_lr: Annotated[float | None, "s·lr."]
    mean: Annotated[float | None, "Of the metric, over seeds; null where no run counts."]
    runs: Annotated[list[ComparedRun], Also(minItems=1)]


class Value(TypedDict):
    value: str
    configurations: Annotated[list[Count], Also(minItems=1)]


_Ends = TypedDict("_Ends", {"from": Count, "to": Count})


class Pair(_Ends):
    gain: Annotated[float, "The gain of `to` over `from`, as a share of the metric; positive is better."]
    low: Annotated[float, "The gain is surely above, each end by itself with 95 % confidence."]
    high: Annotated[float, "The gain is surely below."]
    pairs: Annotated[Positive, "Pairs of runs behind it."]
    verdict: Annotated[Literal["flat", "climbs", "open"], "Surely less than `worth`; surely a gain; nobody can tell."]


class QualityCurve(TypedDict):
    along: Literal["r", "scale"]
    held: Annotated[str, "Settings that are the same all along."]
    configurations: Annotated[list[Count], Also(minItems=2)]
    pairs: Annotated[list[Pair], Also(minItems=1)]
    plateau: Annotated[Count | None, "From here on a larger rank gains less than it must; null where not proven."]
    turns: Annotated[bool, "Beyond the plateau it is even worse."]
    chosen: Annotated[Count, "The smallest rank that is as good as the best; along the scale, the best."]
    best: Annotated[Count, "The one with the best mean."]
    confounds: Annotated[list[str], "Reasons why a difference is not due to `along` alone."]


class Compare(TypedDict):
    version: Literal[1]
    metric: Annotated[str, "The quality that is compared."]
    higher_is_better: bool
    worth: Annotated[float, "The least gain of a larger rank, as a share of the metric."]
    configurations: Annotated[list[SeedGroup], "Runs that differ in their seed alone."]
    differences: Annotated[dict[str, list[Value]], "Every other setting that is not the same in all."]
    curves: Annotated[list[QualityCurve], "Their configurations are places in `configurations`."]
    notes: list[str]
    unreadable: Annotated[list[str], "Files that could not be read, one sentence each."]


# -- inspect, advise, preflight ----------------------------------------------------------------------------------------
class InspectedAdapter(TypedDict):
    name: str
    method: Literal["lora", "dora", "adalora", "kasa", "bdlora", "monteclora"]
    shape: Annotated[list[int], Two]
    r: Positive
    lora_alpha: float
    scale_formula: str
    energy: Annotated[float, "Share of the sum of squared norms."]
    spectrum: Annotated[list[float], "Singular values of the adapter update, the largest first."]
    scale: float | None
    product_norm: float | None
    delta_norm: float | None
    spectral_norm: float | None
    stable_rank: float | None
    effective_rank: float | None
    a_norm: float | None
    b_norm: float | None
    relative_norm: float | None
    relative_spectral_norm: float | None


class ComparedLayer(TypedDict):
    name: str
    ratio: Annotated[float | None, "Null: 0 divided by 0."]
    cosine: Annotated[float | None, "Null: 0 divided by 0."]
    distance: Annotated[float | None, "Null: 0 divided by 0."]


class Against(TypedDict):
    only_first: list[str]
    only_second: list[str]
    layers: list[ComparedLayer]


class Inspect(TypedDict):
    version: Literal[1]
    path: str
    base_model: str | None
    parameters: int
    delta_norm: float
    not_finite: list[str]
    others: Annotated[list[str], "Tensors that belong to no adapter."]
    notes: list[str]
    adapters: Annotated[list[InspectedAdapter], Also(minItems=1)]
    against: Against | None


class _Lora(TypedDict):
    r: Positive
    lora_alpha: float
    target_modules: Any


class Lora(_Lora, total=False):
    use_rslora: bool
    task_type: str


class Layer(TypedDict):
    name: Annotated[str, "Path with * for numbers."]
    count: Positive
    d_out: Positive
    d_in: Positive
    parameters: Annotated[Positive, "Trainable parameters of one."]
    share: float


class Memory(TypedDict):
    frozen: int
    frozen_dtype: str
    adapters: int
    gradients: int
    optimizer: int
    total: int


class Advice(TypedDict):
    version: Literal[1]
    model: str
    task: str
    ranks: Annotated[list[Positive], Two, "Lowest and highest worth searching."]
    why: str
    source: str
    lora: Annotated[Lora, "Keyword arguments of peft.LoraConfig."]
    scale: float
    same_scale: Annotated[dict[str, float], "The alpha that makes this scale under either formula."]
    learning_rate: float | None
    first_step: Annotated[float | None, "Relative norm after one full step of Adam, summed over blocks."]
    first_step_relative_norm: Annotated[float | None, "The same of the median layer."]
    base_norms_from: Literal["weights", "initializer"] | None
    easy_learning_rate: float | None
    blocks: Positive
    layers: Annotated[list[Layer], Also(minItems=1)]
    adapter_parameters: Positive
    trainable_parameters: Positive
    model_parameters: Positive
    share: float
    memory: Annotated[Memory, "Bytes, without activations."]
    findings: list[Alert]
    notes: list[str]
    code: Annotated[str, "Python: an import and a LoraConfig."]


class Transfer(TypedDict):
    version: Literal[1]
    from_model: str
    to_model: str
    widths: Annotated[list[Positive], Two]
    blocks: Annotated[list[Positive], Two]
    ranks: Annotated[list[Positive], Two]
    lora: Lora
    scale: float
    step_factor: Annotated[float | None, "First full step of the second model relative to that of the first."]
    learning_rates: Annotated[list[float], Two] | None
    does_not_transfer: list[str]
    code: str


class Chosen(TypedDict):
    model: str | None
    adapters: Annotated[int | None, "Adapted layers; null without a model."]
    r: list[Positive]
    lora_alpha: list[float]
    scale: list[float]
    scale_formula: list[str]
    learning_rate: float | None
    optimizer: str
    max_steps: int | None


class Preflight(TypedDict):
    version: Literal[1]
    exit_code: Literal[0, 1]
    fail_on: Level
    settings: Annotated[
        Chosen, "The settings that were checked; lists have a value for each that differs between layers."
    ]
    findings: list[Alert]
    notes: list[str]


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by the name of its file."""
    alert = of_dataclass(
        Alert,
        severity=SeverityName,
        adapters=Annotated[list[Concerned], "Adapters concerned, worst first."],
        step=Count,
        last_step=Count,
        closed_step=Annotated[Count | None, "Null while it is open."],
        back_to=Annotated[Count | None, "The step that the run went back to for this alert, or null."],
        lasted=int,
    )
    made = {
        "alert": alert,
        "find_lr": of_a_sweep(),
        "alerts-line": {**of(Alert), "allOf": [of(Line)]},
        **{kind.__name__.lower(): of(kind) for kind in (Report, Incident, Baseline, Check, Compare)},
        **{kind.__name__.lower(): of(kind) for kind in (Inspect, Advice, Transfer, Preflight)},
    }
    number = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        f"{name}.json": {**head, "$id": f"{name}.json", **schema, "$defs": {"number": number}}
        for name, schema in made.items()
    }


def write(folder: Path) -> None:
    """Write every schema to ``folder``, which must exist."""
    for name, schema in schemas().items():
        (folder / name).write_text(json.dumps(schema, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
