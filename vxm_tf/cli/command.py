"""What every command does alike: parse its own flags, log plainly, and end bad input with one sentence."""

import dataclasses
import sys
import warnings
from logging import WARNING, Formatter
from pathlib import Path

from absl import flags, logging

PACKAGE = Path(__file__).resolve().parent.parent


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


class Flags:
    """Defines flags with the defaults of a dataclass."""

    def __init__(self, values, defaults):
        self.values = values
        self.defaults = defaults

    def string(self, name, text):
        flags.DEFINE_string(name, getattr(self.defaults, name), text, flag_values=self.values)

    def integer(self, name, text):
        flags.DEFINE_integer(name, getattr(self.defaults, name), text, flag_values=self.values)

    def float(self, name, text):
        flags.DEFINE_float(name, getattr(self.defaults, name), text, flag_values=self.values)

    def boolean(self, name, text):
        flags.DEFINE_boolean(name, getattr(self.defaults, name), text, flag_values=self.values)

    def choice(self, name, choices, text):
        flags.DEFINE_enum(name, getattr(self.defaults, name), list(choices), text, flag_values=self.values)

    def strings(self, name, text):
        flags.DEFINE_list(name, list(getattr(self.defaults, name)), text, flag_values=self.values)

    def numbers(self, name, text):
        flags.DEFINE_list(name, [str(n) for n in getattr(self.defaults, name)], text, flag_values=self.values)


def config(kind, values, **converted):
    """The dataclass `kind` filled from flags of the same names; `converted` overrides."""
    fields = {f.name: getattr(values, f.name) for f in dataclasses.fields(kind) if f.name not in converted}
    return kind(**fields, **converted)


def numbers(values, name, kind):
    """A list flag as a tuple of numbers.

    Raises:
        ValueError: an entry that is none.
    """
    try:
        return tuple(kind(entry) for entry in getattr(values, name))
    except ValueError:
        raise ValueError(f"--{name} is a list of numbers with commas between; got {getattr(values, name)}.") from None


def require(values, *names):
    """Raise `ValueError` unless every one of these flags was given."""
    missing = [f"--{name}" for name in names if not getattr(values, name)]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be given. See --help.")
