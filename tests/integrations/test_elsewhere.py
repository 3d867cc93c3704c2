"""Other libraries that train LoRA, where they are installed: sentence-transformers and diffusers."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from lora_watch import LoraWatchCallback, Monitor
from tests.support import tiny_model, tiny_tokenizer, updates

pytestmark = pytest.mark.thorough  # these libraries take longer to import than to train


def test_a_sentence_transformer(tmp_path: Path) -> None:
    """Its model is a list of modules, its trainer the Trainer: the first part of each name is the module's place."""
    library: Any = pytest.importorskip("sentence_transformers")
    from datasets import Dataset

    tiny_model().model.save_pretrained(tmp_path / "model")
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path / "model")
    model = library.SentenceTransformer(str(tmp_path / "model"), device="cpu")  # with mean pooling
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="FEATURE_EXTRACTION")
    model[0].auto_model = get_peft_model(model[0].auto_model, config)
    watcher = LoraWatchCallback(console=False, tensorboard=False)
    rows = Dataset.from_dict({"anchor": ["a dog", "the sea"] * 8, "positive": ["a hound", "the ocean"] * 8})
    args = library.SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path / "out"), max_steps=3, per_device_train_batch_size=4, use_cpu=True, report_to="none",
        save_strategy="no", logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    losses = importlib.import_module("sentence_transformers.sentence_transformer.losses")  # since 6
    loss = losses.MultipleNegativesRankingLoss(model)
    trainer = library.SentenceTransformerTrainer(
        model=model, args=args, train_dataset=rows, loss=loss, callbacks=[watcher]
    )
    trainer.train()
    last = watcher.monitor.last
    assert last.loss == pytest.approx(float(trainer.state.log_history[-2]["loss"]), rel=1e-3)
    assert len(last.run.adapters) == 8
    assert all(last.metrics[name].known.all() for name in ("delta_norm", "output_ratio", "a_grad_norm"))
    assert last.run.adapters[0].name.endswith("layers.0.self_attn.q_proj")


def test_a_unet_of_diffusers() -> None:
    library: Any = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    unet = library.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, cross_attention_dim=8, norm_num_groups=4,
        attention_head_dim=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v", "conv1"]))
    optimizer = torch.optim.AdamW([p for p in unet.parameters() if p.requires_grad], lr=1e-3)
    with Monitor(unet, optimizer, console=False) as monitor:
        pairs = ((torch.randn(2, 4, 8, 8), torch.randn(2, 3, 8)) for _ in range(3))
        outputs = ((image, unet(image, torch.tensor([1, 500]), text).sample) for image, text in pairs)
        updates(monitor, optimizer, ((output - image).square().mean() for image, output in outputs))
    assert len(monitor.last.run.adapters) > 8
    assert all(monitor.last.metrics[name].known.all() for name in ("delta_norm", "a_grad_norm", "relative_norm"))
    linear = [adapter.kind == "Linear" for adapter in monitor.last.run.adapters]
    assert monitor.last.metrics["output_ratio"].known.tolist() == linear, "and not of convolutions, which a note says"
    assert re.search("output_ratio .*unknown .*8 of 24 adapters", monitor.run.notes[0])
    assert {alert.rule for alert in monitor.alerts} <= {"LW401"}
