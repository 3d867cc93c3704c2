"""The script counts the calls of a plain step: functions of lora_watch that are entered, the files that they are in,
and the CPU time of the thread that trains. The aim is 300 calls in 20 files and 1.2 ms, with the callback in the
Trainer.

    python benchmarks/step_calls.py [--loop] [--by file|function]

The model is the packaged Llama with 28 adapters; ``--loop`` takes ``Monitor`` in a plain loop. Steps are counted after
the first 20 and are those without a full measurement. Calls of generator expressions and comprehensions do not count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import CodeType
from typing import Any

import lora_watch

PACKAGE = str(Path(lora_watch.__file__).parent)
STEPS, FIRST = 60, 20


class Calls:
    """Counts calls while ``on``, by function."""

    def __init__(self) -> None:
        self.counted: Counter[CodeType] = Counter()

    def __call__(self, frame: Any, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<"):
            self.counted[code] += 1


class Steps:
    """One after the other: the counted calls of every second plain step, and the time of the others' events."""

    def __init__(self) -> None:
        self.calls: list[Counter[CodeType]] = []
        self.seconds: list[float] = []
        self.number = 0
        self._spent = 0.0

    def around(self, work: Any) -> Any:
        """``work`` is one of the calls of ours that a step makes from outside."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return work(*args, **kwargs)
            finally:
                self._spent += time.thread_time() - began

        return timed

    def begin(self) -> None:
        self.number += 1
        self._spent, self._calls = 0.0, Calls()
        if self.number % 2:
            sys.setprofile(self._calls)

    def end(self) -> None:
        sys.setprofile(None)
        if self.number > FIRST and self.number % 16 not in (0, 1):  # measured in full, and what that needs
            if self.number % 2:
                self.calls.append(self._calls.counted)
            else:
                self.seconds.append(self._spent)


def in_trainer(steps: Steps, folder: Path) -> None:
    from transformers import TrainerCallback

    from lora_watch import LoraWatchCallback
    from lora_watch.demo import models, texts
    from lora_watch.demo.runs import build_trainer
    from lora_watch.demo.tasks import Setup, Task

    model, tokenizer = models.tiny_llama()
    text = texts.blocks(texts.stdlib_text(), tokenizer, (STEPS + 1) * 4, 32)
    callback = LoraWatchCallback(fail_on="never", console=False)
    for name in dir(callback):
        if name.startswith("on_"):
            setattr(callback, name, steps.around(getattr(callback, name)))

    class Around(TrainerCallback):
        def __init__(self, first: bool):
            self.first = first

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            if self.first:
                steps.begin()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if not self.first:
                steps.end()

    task = Task("", lambda: model, text, text[:1], STEPS, 4)
    build_trainer(task, Setup("healthy", 16, 5e-4), folder, [Around(True), callback, Around(False)]).train()


def in_loop(steps: Steps, folder: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from lora_watch import Monitor
    from lora_watch.demo import models, texts

    model, tokenizer = models.tiny_llama()
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    peft: Any = get_peft_model(model, lora).train()
    optimizer = torch.optim.AdamW((p for p in peft.parameters() if p.requires_grad), lr=5e-4)
    text = texts.blocks(texts.stdlib_text(), tokenizer, STEPS * 4, 32)
    with Monitor(peft, optimizer, output_dir=folder, console=False, max_steps=STEPS) as monitor:
        step = steps.around(monitor.step)
        for number in range(STEPS):
            batch = torch.stack([torch.as_tensor(row["input_ids"]) for row in text[number * 4 :][:4]])
            steps.begin()
            loss = peft(input_ids=batch, labels=batch).loss
            loss.backward()
            optimizer.step()
            step(loss=loss)
            steps.end()
            optimizer.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loop", action="store_true", help="Monitor in a plain loop")
    parser.add_argument("--by", choices=("file", "function"), help="the calls of one step in detail")
    options = parser.parse_args()
    steps = Steps()
    with tempfile.TemporaryDirectory() as folder:
        (in_loop if options.loop else in_trainer)(steps, Path(folder))
    typical = sorted(steps.calls, key=lambda counted: counted.total())[len(steps.calls) // 2]
    if options.by:
        detail: Counter[str] = Counter()
        for code, times in typical.items():
            file = str(Path(code.co_filename).relative_to(PACKAGE))
            detail[
                file
                if options.by == "file"
                else f"{file} {code.co_qualname if sys.version_info >= (3, 11) else code.co_name}"
            ] += times
        for name, times in detail.most_common():
            print(f"{times:5d}  {name}")
    files = len({code.co_filename for code in typical})
    print(
        f"a plain step: {typical.total()} calls of {len(typical)} functions in {files} files, "
        f"{1e3 * statistics.median(steps.seconds):.2f} ms of CPU"
    )


if __name__ == "__main__":
    main()
