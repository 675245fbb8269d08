"""What every command does alike: parse its own flags, log plainly, and end bad input with one sentence."""

import dataclasses
import sys
import typing
import warnings
from logging import WARNING, Formatter
from pathlib import Path

from absl import flags, logging

from vxm_tf.files.errors import InputError

PACKAGE = Path(__file__).resolve().parent.parent
Configuration = typing.TypeVar("Configuration")


def run(define_flags, call, description: str, argv=None, positional=()):
    """Parse flags and call; on bad input print the reason and exit with 1.

    Args:
        define_flags: defines the command's flags on the `FlagValues` it is given.
        call: takes the parsed `FlagValues`, and the positional arguments.
        description: first line of `--help`.
        argv: arguments without the program's name; those of the process by default.
        positional: what the arguments beside flags are, such as "OLD.h5"; all must be given.
    """
    values = flags.FlagValues()
    flags.DEFINE_boolean("help", False, "Show the flags.", flag_values=values, short_name="h")
    flags.DEFINE_boolean("debug", False, "Show the traceback of an error.", flag_values=values)
    define_flags(values)
    _log_plainly()
    try:
        rest = values([sys.argv[0], *(sys.argv[1:] if argv is None else argv)])[1:]
        if values.help:
            print(f"{description}\n\n{values.get_help(include_special_flags=False)}")
            return
        _check_positional(rest, positional)
        with warnings.catch_warnings():
            warnings.showwarning = _log_warning
            call(values, *rest)
    except (ValueError, flags.Error) as error:
        if values.is_parsed() and values.debug:
            raise
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        raise SystemExit(130) from None


def _check_positional(rest, positional):
    if rest and not positional:
        raise ValueError(f"Unexpected arguments {' '.join(rest)}; every argument is a flag. See --help.")
    if len(rest) != len(positional):
        got = " ".join(rest) or "nothing"
        raise ValueError(f"Expected {len(positional)} arguments, {' '.join(positional)}; got {got}. See --help.")


def _log_plainly():
    """Our own messages with the time of day; from other packages only warnings."""
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(lambda record: record.levelno >= WARNING or PACKAGE in Path(record.pathname).parents)


def _log_warning(message, category, filename, lineno, file=None, line=None):
    """What this package warns of is for people to read; other packages' warnings are for their developers."""
    if PACKAGE in Path(filename).resolve().parents:
        logging.warning("%s", message)


def define(values: flags.FlagValues, *configurations: type) -> None:
    """Define one flag for each field of these dataclasses, with its default, choices and description.

    A field that an earlier dataclass has too gets no second flag.
    """
    for configuration in configurations:
        types = typing.get_type_hints(configuration)
        for field in dataclasses.fields(configuration):
            if field.name not in values:
                _define_field(values, field, types[field.name])


def _define_field(values, field, kind):
    text, choices = field.metadata["description"], field.metadata["choices"]
    default = field.default if field.default is not dataclasses.MISSING else None
    # `str | None` takes what `str` takes.
    kind = next(iter(set(typing.get_args(kind)) - {type(None)}), kind) if _is_optional(kind) else kind
    if typing.get_origin(kind) is tuple:
        flags.DEFINE_list(field.name, [str(entry) for entry in default], text, flag_values=values)
    elif choices:
        flags.DEFINE_enum(field.name, default, list(choices), text, flag_values=values)
    else:
        definers = {
            bool: flags.DEFINE_boolean,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }
        definers[kind](field.name, default, text, flag_values=values)


def _is_optional(kind):
    return type(None) in typing.get_args(kind)


def read(configuration: type[Configuration], values: flags.FlagValues) -> Configuration:
    """The dataclass filled from the flags that `define` made of it.

    Raises:
        InputError: an entry of a list that is no number where numbers are needed.
    """
    types = typing.get_type_hints(configuration)
    given = {field.name: _value(values, field.name, types[field.name]) for field in dataclasses.fields(configuration)}
    return configuration(**given)


def _value(values, name, kind):
    value = getattr(values, name)
    if typing.get_origin(kind) is not tuple:
        # The flag may be another configuration's: a path there, whether it was given here.
        return bool(value) if kind is bool and value is not None else value
    entry_kind = typing.get_args(kind)[0]
    try:
        return tuple(entry_kind(entry) for entry in value)
    except ValueError:
        raise InputError(f"--{name} is a list of numbers with commas between; got {value}.") from None


def require(values, *names):
    """Raise `ValueError` unless every one of these flags was given."""
    missing = [f"--{name}" for name in names if not getattr(values, name)]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be given. See --help.")
