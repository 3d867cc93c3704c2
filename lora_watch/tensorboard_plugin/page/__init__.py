"""One or several runs as one HTML file: the LoRA tab with its answers inside, which opens offline."""
