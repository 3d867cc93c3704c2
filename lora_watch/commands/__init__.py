"""The subcommands of ``lora-watch``, one file each. Heavy imports wait inside them, so that ``--help`` is instant."""
