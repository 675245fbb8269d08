"""Commands: flags in, a dataclass, one library call."""
