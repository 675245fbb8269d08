"""The error that bad files end in."""


class VolumeError(ValueError):
    """A file that cannot serve as the volume that was asked for; the message names it."""
