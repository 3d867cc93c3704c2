"""Classifiers of images are judged as those of texts are."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import ViTConfig, ViTForImageClassification

from lora_watch.measurement.signals.labels import classes_of
from tests.rules.runs import run


@pytest.mark.parametrize("one_class", [True, False])
def test_labels_of_images_are_counted(one_class: bool) -> None:
    torch.manual_seed(0)
    small = {"image_size": 16, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = ViTForImageClassification(ViTConfig(**small, intermediate_size=64, num_channels=1, num_labels=4))
    names = [name for name, _ in vision.named_modules() if name.endswith(("query", "q_proj"))]
    model = get_peft_model(vision, LoraConfig(target_modules=names, modules_to_save=["classifier"]))
    assert classes_of(model) == 4
    rows = [{"pixel_values": torch.randn(1, 16, 16), "labels": 0 if one_class else i % 4} for i in range(256)]
    monitor = run(model, 60, dataset=rows, lr=5e-3, per_device_train_batch_size=8)
    assert monitor.last.scalars["chance_loss"] == pytest.approx(0.0 if one_class else 1.386, abs=0.02)
