"""A run as one screen of a terminal: ``lora-watch show``."""
