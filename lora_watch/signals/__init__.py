"""What is watched besides the norms: the loss detector, gradients and parameter groups."""

from lora_watch.signals.gradients import gradient_norms
from lora_watch.signals.loss import LossDetector, LossProgress, LossReading, Progress
from lora_watch.signals.optimizer import ParameterGroups

__all__ = ["LossDetector", "LossProgress", "LossReading", "ParameterGroups", "Progress", "gradient_norms"]
