"""Makes the packaged model again: a BPE tokenizer of 1024 tokens and a Llama of 0.94 M parameters, from novels.

    python -m benchmarks.remake_model OUTPUT --texts FOLDER

``FOLDER`` holds the novels as .txt files. Without ``--texts`` Jane Austen's six are read from Debian's package
``r-cran-janeaustenr`` (``apt-get install --no-install-recommends r-cran-janeaustenr``, or unpack it and name its
``Rdata.rdb``). The shortest text (of Austen's, Northanger Abbey) is never trained on; the loss on it is printed at
the end. With all defaults: 1.25 nats a byte, in 205 s of one core's time.
"""

from __future__ import annotations

import argparse
import math
import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from lora_watch.demo.tasks import mean_loss

DEBIAN_NOVELS = Path("/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
VOCABULARY = 1024
BLOCK = 128
END = "<eos>"


def main(argv: Sequence[str] | None = None) -> None:
    """The command line. Raises SystemExit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder for the model; made if missing")
    parser.add_argument("--texts", type=Path, default=DEBIAN_NOVELS, help="folder of .txt files, or janeaustenr's .rdb")
    parser.add_argument("--steps", type=int, default=1000, help="optimizer steps of 16 blocks of 128 tokens")
    parser.add_argument("--lr", type=float, default=3e-3, help="highest learning rate")
    arguments = parser.parse_args(argv)

    torch.set_num_threads(1)  # the model is too small to share out
    novels = read_novels(arguments.texts)
    unseen = min(novels, key=len)
    novels.remove(unseen)
    tokenizer = train_tokenizer(novels)
    held_out_bytes, held_out = _blocks(tokenizer, unseen)
    model = new_model()
    train(model, [block for novel in novels for block in _blocks(tokenizer, novel)[1]], arguments)
    nats = mean_loss(model, [{"input_ids": b, "labels": b} for b in held_out]) * (BLOCK - 1) * len(held_out)
    print(f"held out: {nats / held_out_bytes:.3f} nats a byte")
    model.half().save_pretrained(arguments.output)
    tokenizer.save_pretrained(arguments.output)


def read_novels(source: Path) -> list[str]:
    """At least two texts, in alphabetical order of their names. Raises SystemExit with one line otherwise."""
    if source.is_dir():
        texts = [file.read_text(encoding="utf-8") for file in sorted(source.glob("*.txt"))]
    elif source.is_file():
        texts = list(read_r_novels(source.read_bytes()))
    else:
        raise SystemExit(f"{source} does not exist; name a folder of .txt files with --texts")
    if len(texts) < 2:
        raise SystemExit(f"{source} holds {len(texts)} texts; two are needed, one of them to hold out")
    return texts


def read_r_novels(database: bytes) -> Iterator[str]:
    """The character vectors in an R lazy-load database, each joined by newlines.

    The file is a row of entries: the size as a big-endian 32-bit number, then that many bytes compressed by zlib. An
    entry is R's serialisation in XDR, version 3: a header, a flag word and the number of strings. The low byte of the
    flag word says "character vector" (16). Each string has a flag word, its length (-1 for NA) and its bytes.
    """
    while database:
        unpack = zlib.decompressobj()
        data = unpack.decompress(database[4:])
        database = unpack.unused_data
        (encoding,) = struct.unpack_from(">i", data, 14)
        at = 18 + encoding
        kind, count = struct.unpack_from(">ii", data, at)
        if data[:2] != b"X\n" or kind & 0xFF != 16:
            raise SystemExit("this R file does not hold plain character vectors")
        at += 8
        lines = []
        for _ in range(count):
            (size,) = struct.unpack_from(">i", data, at + 4)
            start, at = at + 8, at + 8 + max(size, 0)
            lines.append(data[start:at].decode("utf-8", errors="replace"))
        yield "\n".join(lines)


def train_tokenizer(texts: list[str]) -> Any:
    """A byte-level BPE with END as token 0."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    bpe.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[END], initial_alphabet=alphabet)
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=END)


def new_model() -> Any:
    """The architecture, with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def _blocks(tokenizer: Any, text: str) -> tuple[int, list[list[int]]]:
    """``(bytes they stand for, blocks of BLOCK tokens)``; a block's first token is given, not predicted."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    blocks = [ids[i : i + BLOCK] for i in range(0, len(ids) - BLOCK + 1, BLOCK)]
    return sum(len(tokenizer.decode(block[1:]).encode()) for block in blocks), blocks


def train(model: Any, blocks: list[list[int]], arguments: argparse.Namespace) -> None:
    """Adam on random batches, a short warm-up, then a cosine down to nothing."""
    steps, batch, warm_up = arguments.steps, 16, 50
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min(1.0, (t + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * t / steps))
    )
    choose = random.Random(0)
    for step in range(steps):
        ids = torch.tensor(choose.sample(blocks, batch))
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)


if __name__ == "__main__":
    main()
