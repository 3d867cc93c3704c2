"""What is watched besides the norms: the loss, gradients and parameter groups."""
