"""Classifiers of images are judged as those of texts are."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import ViTConfig, ViTForImageClassification

from tests.rules.runs import run


def vision() -> Any:
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=16,
        patch_size=8,
        num_channels=1,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=4,
    )
    targets = [
        name for name, _ in ViTForImageClassification(config).named_modules() if name.endswith(("query", "q_proj"))
    ]
    lora = LoraConfig(target_modules=targets, modules_to_save=["classifier"])
    return get_peft_model(ViTForImageClassification(config), lora)


def bright_quarters(n: int = 256) -> list[dict[str, Any]]:
    """Noise, with one quarter brighter: which one is the label."""
    generator, rows = torch.Generator().manual_seed(0), []
    for i in range(n):
        image = 0.5 * torch.randn(1, 16, 16, generator=generator)
        down, right = divmod(i % 4, 2)
        image[:, 8 * down : 8 * down + 8, 8 * right : 8 * right + 8] += 2.0
        rows.append({"pixel_values": image, "labels": i % 4})
    return rows


@pytest.mark.parametrize("one_class", [True, False])
def test_labels_of_images_are_counted(one_class: bool) -> None:
    rows = [{**row, "labels": 0} if one_class else row for row in bright_quarters()]
    monitor = run(vision(), 60, dataset=rows, lr=5e-3, per_device_train_batch_size=8)
    assert monitor.last.scalars["chance_loss"] == pytest.approx(0.0 if one_class else 1.386, abs=0.02)
