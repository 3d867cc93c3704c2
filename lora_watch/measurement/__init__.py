"""What is measured of adapters, base weights, losses, gradients and batches."""
