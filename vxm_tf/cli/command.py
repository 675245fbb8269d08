"""Flags, logging and error messages of all commands."""

import dataclasses
import os
import sys
import textwrap
import typing
import warnings
from collections.abc import Callable, Sequence
from logging import ERROR, WARNING, Formatter, getLogger
from pathlib import Path

from absl import flags, logging

from vxm_tf import machine
from vxm_tf.configuration import description
from vxm_tf.files.errors import InputError

PACKAGE = Path(__file__).resolve().parent.parent
DEFINERS = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}
THREADS = (
    "Number of processor threads; by default as many as this process may use, by its affinity, control groups, "
    f"{machine.CHOICE}, OMP_NUM_THREADS and the variables of batch systems."
)
Configuration = typing.TypeVar("Configuration")


def run(
    define_flags: Callable[[flags.FlagValues], None],
    call: Callable[..., typing.Any],
    summary: str,
    argv: Sequence[str] | None = None,
    positional: Sequence[str] = (),
    computes: bool = True,
) -> None:
    """Parse flags and run a command; on bad input print the reason and exit with 1.

    Args:
        define_flags: function that defines the command's flags on `FlagValues`.
        call: function that takes the parsed `FlagValues`, then the positional arguments.
        summary: first line of `--help`.
        argv: arguments without the program's name; those of the process if None.
        positional: names of the arguments beside flags, such as "OLD.h5"; all must be given.
        computes: whether the command computes itself, so that it has the flag --threads.
    """
    values = flags.FlagValues()
    define_flags(values)
    if computes:
        flags.DEFINE_integer("threads", None, THREADS, flag_values=values)
    flags.DEFINE_boolean("debug", False, "Show the traceback of an error.", flag_values=values)
    flags.DEFINE_boolean("help", False, "Show the flags of this command.", flag_values=values, short_name="h")
    _log_plainly()
    try:
        rest = values([sys.argv[0], *(sys.argv[1:] if argv is None else argv)])[1:]
        if values.help:
            print(help_text(summary, values))
            return
        _check_positional(rest, positional)
        if computes:
            machine.use_threads(values.threads)
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


def help_text(summary: str, values: flags.FlagValues) -> str:
    """The text of `--help`: the command's summary, and each flag with its description, choices and default."""
    # A short name is a second entry of one flag.
    listed = [values[name] for name in values if values[name].name == name]
    width = flags.get_help_width()
    return "\n".join([summary, "", *(_flag_text(flag, width) for flag in listed)])


def _flag_text(flag: flags.Flag, width: int) -> str:
    name = f"[no]{flag.name}" if flag.boolean else flag.name
    default = _default_text(flag)
    # The no-break space keeps a default on one line.
    text = textwrap.fill(
        f"--{name}: {flag.help}" + (f" (default:\u00a0{default})" if default else ""),
        width,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return text.replace("\u00a0", " ")


def _default_text(flag: flags.Flag) -> str:
    """A flag's default as it is written on the command line; empty if there is none."""
    if flag.default is None:
        return ""
    return str(flag.default).lower() if flag.boolean else flag.serializer.serialize(flag.default)


def _check_positional(rest: Sequence[str], positional: Sequence[str]) -> None:
    if rest and not positional:
        raise ValueError(f"Unexpected arguments {' '.join(rest)}; every argument is a flag. See --help.")
    if len(rest) != len(positional):
        got = " ".join(rest) or "nothing"
        raise ValueError(f"Expected {len(positional)} arguments, {' '.join(positional)}; got {got}. See --help.")


def _log_plainly() -> None:
    """Log messages of this package with the time of day, and of other packages only warnings."""
    logging.use_absl_handler()
    # Otherwise absl begins with a line about flags, which it thinks are not parsed yet.
    flags.FLAGS.mark_as_parsed()
    flags.FLAGS["logtostderr"].value = True
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(lambda record: record.levelno >= WARNING or PACKAGE in Path(record.pathname).parents)
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") not in ("0", "1"):
        # Its warnings, such as those of retracing, are for developers; its errors are shown.
        getLogger("tensorflow").setLevel(ERROR)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: typing.TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log the warnings of this package, which are for users; those of other packages are for their developers."""
    if PACKAGE in Path(filename).resolve().parents:
        logging.warning("%s", message)


def define(values: flags.FlagValues, *configurations: type) -> None:
    """Define one flag for each field of these dataclasses, with its default, choices and description.

    Fields of the same name in several dataclasses share one flag, that of the first dataclass.
    """
    for configuration in configurations:
        types = typing.get_type_hints(configuration)
        for field in dataclasses.fields(configuration):
            if field.name not in values:
                _define_field(values, field, types[field.name])


def _define_field(values: flags.FlagValues, field: dataclasses.Field, kind: typing.Any) -> None:
    text, choices = description(field), field.metadata["choices"]
    default: typing.Any = field.default
    if typing.get_origin(kind) is tuple:
        flags.DEFINE_list(field.name, [str(entry) for entry in default], text, flag_values=values)
    elif choices:
        # Not DEFINE_enum, which would put the choices before the description that has them already.
        parser, serializer = flags.EnumParser(list(choices)), flags.ArgumentSerializer()
        flags.DEFINE(parser, field.name, default, text, values, serializer)
    else:
        DEFINERS[_without_none(kind)](field.name, default, text, flag_values=values)


def _without_none(kind: typing.Any) -> typing.Any:
    """The type X for `X | None`, any other type unchanged."""
    kinds = typing.get_args(kind)
    return next(part for part in kinds if part is not type(None)) if type(None) in kinds else kind


def read(configuration: type[Configuration], values: flags.FlagValues) -> Configuration:
    """The dataclass filled from the flags that `define` made of its fields.

    Raises:
        InputError: a list with an entry that is no number where numbers are needed.
    """
    types = typing.get_type_hints(configuration)
    fields = dataclasses.fields(typing.cast(typing.Any, configuration))
    return configuration(**{field.name: _value(values, field.name, types[field.name]) for field in fields})


def _value(values: flags.FlagValues, name: str, kind: typing.Any) -> typing.Any:
    value = getattr(values, name)
    if typing.get_origin(kind) is not tuple:
        # A flag that dataclasses share may be a path for one of them, and for another whether that path was given.
        return bool(value) if kind is bool else value
    entry_kind = typing.get_args(kind)[0]
    try:
        return tuple(entry_kind(entry) for entry in value)
    except ValueError:
        raise InputError(f"--{name} is a list of numbers with commas between; got {value}.") from None


def require(values: flags.FlagValues, *names: str) -> None:
    """Raise `ValueError` unless every one of these flags was given."""
    missing = [f"--{name}" for name in names if not getattr(values, name)]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be given. See --help.")
