"""The environment of every test: no network, no GPU, one thread. Set before torch or transformers is imported."""

import os

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",  # two threads on a busy core spin against each other: forty times slower here
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
for variable in ("LORA_WATCH_FAIL_ON", "LORA_WATCH_PATIENCE", "LORA_WATCH_MUTE", "WANDB_PROJECT"):
    os.environ.pop(variable, None)
