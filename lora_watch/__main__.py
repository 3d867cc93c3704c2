"""``python -m lora_watch``, and so ``torchrun -m lora_watch run …`` and ``accelerate launch -m lora_watch run …``."""

from lora_watch.cli.app import main

if __name__ == "__main__":
    main()
