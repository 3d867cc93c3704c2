"""The command `lora-watch`: `app` puts its subcommands together, one file each. Heavy imports wait inside them."""
