"""How large the change of each adapter is, and how large the weight it changes."""

from lora_watch.measurement.norms.bank import AdapterBank
from lora_watch.measurement.norms.base import BaseNorms, base_norms
from lora_watch.measurement.norms.measurement import Measurement, measure

__all__ = ["AdapterBank", "BaseNorms", "Measurement", "base_norms", "measure"]
