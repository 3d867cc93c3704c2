"""What every room stands on: the data that is passed around, names, texts, JSON, untrusted files."""
