"""What happens before a run."""
