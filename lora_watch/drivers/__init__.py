"""What knows ``transformers.Trainer``: its events, its true loss, its settings and its ranks."""
