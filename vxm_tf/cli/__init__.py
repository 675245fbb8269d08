"""Commands: each fills a dataclass from its flags and makes one library call."""
