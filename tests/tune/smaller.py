"""A model that is smaller than the packaged one, and rows for it."""

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY, LENGTH, ROWS = 1024, 6, 24


def tiny(**options: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1}
    return LlamaForCausalLM(LlamaConfig(**{"vocab_size": VOCABULARY, "num_hidden_layers": 2, **sizes, **options}))


def rows() -> list[dict[str, list[int]]]:
    ids = [[(7 * place + 13 * row) % VOCABULARY for place in range(LENGTH)] for row in range(ROWS)]
    return [{"input_ids": each, "labels": each} for each in ids]
