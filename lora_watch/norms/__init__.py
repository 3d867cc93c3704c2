"""How large the change of each adapter is, and how large the weight it changes."""

from lora_watch.norms.bank import AdapterBank
from lora_watch.norms.base import BaseNorms, base_norms
from lora_watch.norms.dense import DenseBank
from lora_watch.norms.drift import Snapshot
from lora_watch.norms.measurement import Measurement, measure

__all__ = ["AdapterBank", "BaseNorms", "DenseBank", "Measurement", "Snapshot", "base_norms", "measure"]
