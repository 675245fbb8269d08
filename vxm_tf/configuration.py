"""Settings as dataclasses whose fields carry their own description.

The command line, the class docstring and the reference pages are all made from these descriptions.
"""

import dataclasses
import inspect
import textwrap
from collections.abc import Sequence
from typing import Any, TypeVar, get_type_hints

import numpy as np

from vxm_tf.files.errors import InputError

Configuration = TypeVar("Configuration", bound=type)
_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool, np.bool_), "True or False"),
    int: ((int, np.integer), "a whole number"),
    float: ((int, float, np.integer, np.floating), "a number"),
    str: ((str,), "a text"),
}
WIDTH = 116
"""Columns of a docstring made from descriptions."""


def option(default: Any, description: str, *, choices: Sequence[str] = ()) -> Any:
    """A dataclass field with its description.

    Args:
        default: value of the field if the user gives none.
        description: one or a few sentences that say what the setting does, its unit, and what its default means.
        choices: the values that the field may take; empty for any.
    """
    return dataclasses.field(default=default, metadata={"description": description, "choices": tuple(choices)})


def described(configuration: Configuration) -> Configuration:
    """Class decorator that lists every field with its description in the class docstring, as `Attributes:`."""
    lines = [f"    {field.name}: {description(field)}" for field in dataclasses.fields(configuration)]
    listed = [textwrap.fill(line, WIDTH, subsequent_indent=" " * 8, break_long_words=False) for line in lines]
    configuration.__doc__ = "\n".join([inspect.cleandoc(configuration.__doc__ or ""), "", "Attributes:", *listed, ""])
    return configuration


def description(field: dataclasses.Field) -> str:
    """The description of a field, followed by its choices where it has some."""
    choices = [choice or "empty" for choice in field.metadata["choices"]]
    listed = f" One of {', '.join(choices)}." if choices else ""
    return field.metadata["description"] + listed


def check_types(configuration: Any) -> None:
    """Raise `InputError` for the first field whose value is not of its type; a whole number serves as a float."""
    hints = get_type_hints(type(configuration))
    for field in dataclasses.fields(configuration):
        kind, value = hints[field.name], getattr(configuration, field.name)
        if kind in _KINDS:
            classes, noun = _KINDS[kind]
            if not isinstance(value, classes) or (kind in (int, float) and isinstance(value, bool)):
                raise InputError(f"{field.name} is {noun}; got {value!r:.200}.")


def check_choices(configuration: Any) -> None:
    """Raise `InputError` for the first field whose value is not among its choices."""
    for field in dataclasses.fields(configuration):
        choices, value = field.metadata["choices"], getattr(configuration, field.name)
        if choices and value not in choices:
            raise InputError(f"{field.name} is one of {', '.join(choices)}; got {value!r}.")
