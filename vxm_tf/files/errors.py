"""Errors that tell users what is wrong with their input."""


class InputError(ValueError):
    """A file, image or setting from the user that cannot be used; the message names it and says what to do."""


class VolumeError(InputError):
    """A file that cannot be read or written as the requested volume."""
