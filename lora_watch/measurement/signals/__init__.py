"""What is monitored besides the norms: the loss, gradients and parameter groups."""
