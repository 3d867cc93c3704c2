"""Files made to break their readers, a few lines each: what hostile tests of every command have found."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers

from lora_watch.runs.crc import masked_crc

HUGE = 10**400
DEEP = "[" * 900 + "]" * 900
LAUGHS = "r: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi")
)
FOR_EVER = r"((\w|\.)+)+!"
"""A regular expression that takes 2ⁿ steps."""
INFINITY = float("inf")
SETTINGS = {"r": 8, "lora_alpha": 16, "learning_rate": 2e-4, "target_modules": ["q_proj"]}


def keys(number: int) -> str:
    """The inside of a JSON object with so many keys."""
    return ",".join(f'"{i:x}":0' for i in range(number))


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def with_text(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


def changed(change: Callable[[Any], object]) -> Callable[[Path], None]:
    """A JSON file, changed in place. ``"@@"`` in it becomes 900 nested lists."""

    def make(path: Path) -> None:
        content = json.loads(path.read_bytes())
        change(content)
        path.write_text(json.dumps(content).replace('"@@"', DEEP))

    return make


ANY_FILE = {
    "a pipe": fifo,
    "without end": endless,
    "nested deeply": with_text('{"version": 1, "a": ' + "[" * 100_000),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00{"),
}
LARGE_FILE = {
    "of half a million keys": lambda path: path.write_text("{" + keys(490_000) + "}"),
    "of two million texts": lambda path: path.write_text('{"notes": [' + '"abcd",' * 1_900_000 + "0]}"),
    "of half a million lists": lambda path: path.write_text('{"a": [' + "[]," * 499_000 + "[]]}"),
}
"""As large as a file may be that is read as a whole."""
REPORT = {
    "a step of 400 digits": changed(lambda r: r.update(step=HUGE)),
    "an infinite step": changed(lambda r: r.update(step=INFINITY)),
    "a rank of 400 digits": changed(lambda r: r["adapters"][0].update(r=HUGE)),
    "a configuration nested deeply": changed(lambda r: r["config"].update(seed="@@")),
    "a start that is no time": changed(lambda r: r.update(verdict="interrupted", started="yesterday")),
    "LoRA settings that are a list": changed(lambda r: r["config"].update(lora=[1])),
    "an alert of a step of 400 digits": changed(lambda r: r["alerts"][0].update(step=HUGE)),
    "a hundred thousand adapters": changed(lambda r: r.update(adapters=r["adapters"][:1] * 100_000)),
}
BASELINE = {
    "an infinite step": changed(lambda b: b.update(step=INFINITY)),
    "an infinite tolerance": changed(lambda b: b["tolerances"].update(layer_norm=INFINITY)),
    "a negative tolerance": changed(lambda b: b["tolerances"].update(layer_norm=-1)),
    "a tolerance nested deeply": changed(lambda b: b["tolerances"].update(x="@@")),
    "a rank that speaks": changed(lambda b: next(iter(b["adapters"].values())).update(r="\x1b[31m\n::error::x")),
    "parameters in words": changed(lambda b: b.update(trainable_parameters="abc")),
    "a loss of 400 digits": changed(lambda b: b.update(loss=HUGE)),
}
INCIDENT = {
    "an infinite step": changed(lambda i: i["steps"].__setitem__(3, INFINITY)),
    "steps of 400 digits": changed(lambda i: i.update(steps=[HUGE] * len(i["steps"]))),
    "metrics nested deeply": changed(lambda i: i["metrics"].update(delta_norm="@@")),
}
SETTING = {
    "aliases that grow": ("s.yaml", LAUGHS),
    "brackets": ("s.yaml", "r: " + "[" * 5000),
    "a scale of 400 digits": ("s.json", json.dumps(SETTINGS | {"lora_alpha": HUGE})),
    "an infinite rate": ("s.json", json.dumps(SETTINGS | {"learning_rate": INFINITY})),
    "a rank nested deeply": ("s.json", json.dumps(SETTINGS | {"r": "@@"}).replace('"@@"', DEEP)),
}
ADALORA = SETTINGS | {"peft_type": "ADALORA", "init_r": 12, "target_r": 8, "tfinal": 10, "total_step": 100}
SETTING["a schedule without end"] = "s.json", json.dumps(ADALORA | {"deltaT": -INFINITY})
SETTING["a schedule of lists"] = "s.json", json.dumps(ADALORA | {"deltaT": 1, "tfinal": ["x"]})
PATTERN = {
    "ranks": {"rank_pattern": {FOR_EVER: 4}},
    "what is saved": {"modules_to_save": [FOR_EVER]},
    "alphas": {"alpha_pattern": {FOR_EVER: 4}},
    "targets": {"target_modules": FOR_EVER},
    "exclusions": {"exclude_modules": FOR_EVER},
    "layers": {"layers_to_transform": [0], "layers_pattern": FOR_EVER},
}
ADAPTER = {
    "a pattern that takes for ever": changed(lambda c: c.update(rank_pattern={FOR_EVER: 4})),
    "a scale of 400 digits": changed(lambda c: c.update(lora_alpha=HUGE)),
    "half a rank": changed(lambda c: c.update(r=0.5, target_parameters=["x"])),
    "an infinite scale": changed(lambda c: c.update(lora_alpha=INFINITY)),
    "a rank nested deeply": changed(lambda c: c.update(r="@@")),
}
MODEL = {
    "two million layers": changed(lambda c: c.update(num_hidden_layers=2_000_000)),
    "layers of 400 digits": changed(lambda c: c.update(num_hidden_layers=HUGE)),
    "a width of 400 digits": changed(lambda c: c.update(hidden_size=HUGE)),
    "a width of a trillion": changed(lambda c: c.update(hidden_size=10**12, intermediate_size=10**12)),
    **(
        {"a million stages": lambda path: path.write_text(json.dumps({"model_type": "swin", "depths": [10**6]}))}
        if int(transformers.__version__.partition(".")[0]) >= 5
        else {}  # there it is refused in two seconds, and takes 600 MB
    ),
    "types of layers nested deeply": changed(lambda c: c.update(layer_types="@@")),
}


def record(event: bytes) -> bytes:
    """As it stands in an event file."""
    length = struct.pack("<Q", len(event))
    return b"".join([length, struct.pack("<I", masked_crc(length)), event, struct.pack("<I", masked_crc(event))])


def of_nothing(number: int) -> bytes:
    """An event with so many values, each of two bytes."""
    values = b"\n\x19\n\x17lora_watch/m/delta_norm" + b"\n\0" * number
    size = b"".join(bytes([(len(values) >> 7 * i) & 127 | (128 if i < 4 else 0)]) for i in range(5))
    return struct.pack("<Bd", 0x09, 2e9) + b"\x10\x07" + b"\x2a" + size + values


def header(number: int) -> bytes:
    """A safetensors file with so many tensors, each of no number."""
    tensor = '"{:x}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    text = ("{" + ",".join(map(tensor.format, range(number))) + "}").encode()
    return struct.pack("<Q", len(text)) + text


def halves() -> bytes:
    """A saved adapter whose numbers take half a byte."""
    shapes = {"A": [2, 4], "B": [4, 2]}
    tensors = {
        f"base_model.model.layers.0.self_attn.q_proj.lora_{part}.weight": {
            "dtype": "F4", "shape": shape, "data_offsets": [4 * i, 4 * i + 4],
        }
        for i, (part, shape) in enumerate(shapes.items())
    }  # fmt: skip
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + bytes(8)
