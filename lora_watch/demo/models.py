"""The demo's pretrained model, which is inside this package."""

from pathlib import Path
from typing import Any

TINY_LLAMA = Path(__file__).parent / "tiny_llama"


def tiny_llama() -> tuple[Any, Any]:
    """``(model, tokenizer)``: a Llama of 4 layers, d 128, fp32, with 1024 BPE tokens, pretrained on Jane Austen."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # .float() because the files are fp16 and only recent versions of transformers load them as what they are
    return AutoModelForCausalLM.from_pretrained(TINY_LLAMA).float(), AutoTokenizer.from_pretrained(TINY_LLAMA)
