"""How much is checked after writing."""
from enum import Enum


class VerifyLevel(Enum):
    """NONE reads nothing back; FAST checks existence, sizes and small documents; FULL hashes every byte."""

    NONE = 'none'
    FAST = 'fast'
    FULL = 'full'
