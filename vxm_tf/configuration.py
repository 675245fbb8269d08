"""Settings as dataclasses whose fields carry their own description.

The command line, the class docstring and the reference pages are all made from these descriptions.
"""

import dataclasses
import inspect
import os
import textwrap
from collections.abc import Sequence
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

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
    """Raise `InputError` for the first field whose value is not of its type.

    A whole number serves as a float, and a list as a tuple.
    """
    hints = get_type_hints(type(configuration))
    for field in dataclasses.fields(configuration):
        kind, value = hints[field.name], getattr(configuration, field.name)
        if get_origin(kind) is tuple:
            entry = get_args(kind)[0]
            if not isinstance(value, (tuple, list)) or not all(_is_of(entry, part) for part in value):
                raise InputError(f"{field.name} is a tuple, each entry {_KINDS[entry][1]}; got {value!r:.200}.")
        elif kind in _KINDS and not _is_of(kind, value):
            raise InputError(f"{field.name} is {_KINDS[kind][1]}; got {value!r:.200}.")


def _is_of(kind: type, value: Any) -> bool:
    return isinstance(value, _KINDS[kind][0]) and not (kind in (int, float) and isinstance(value, bool))


def paths_as_text(configuration: Any) -> None:
    """Replace every path object in the fields of a frozen dataclass by its text."""
    for field in dataclasses.fields(configuration):
        value = getattr(configuration, field.name)
        if isinstance(value, os.PathLike):
            object.__setattr__(configuration, field.name, os.fspath(value))


def check_choices(configuration: Any) -> None:
    """Raise `InputError` for the first field whose value is not among its choices."""
    for field in dataclasses.fields(configuration):
        choices, value = field.metadata["choices"], getattr(configuration, field.name)
        if choices and value not in choices:
            raise InputError(f"{field.name} is one of {', '.join(choices)}; got {value!r}.")


def check_alone(configuration: Any, name: str, others: Sequence[str]) -> None:
    """Raise `InputError` if a setting is given together with others that it replaces.

    Args:
        configuration: a dataclass of settings.
        name: the setting.
        others: settings that have no effect where this one is given.
    """
    given = [other for other in others if getattr(configuration, other)]
    if getattr(configuration, name) and given:
        raise InputError(f"With {name}, {' and '.join(given)} would do nothing. Leave one out.")
