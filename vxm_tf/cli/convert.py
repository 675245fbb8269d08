"""The command vxm-convert."""

from absl import flags

from vxm_tf.cli import command
from vxm_tf.workflows.convert_network import ConvertConfig, convert_file

DESCRIPTION = "Convert a network that VoxelMorph saved: vxm-convert OLD.h5 NEW.keras"


def define_flags(values: flags.FlagValues) -> None:
    """Define one flag for each field of `ConvertConfig`."""
    command.define(values, ConvertConfig)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    command.run(define_flags, _call, DESCRIPTION, argv, positional=("OLD.h5", "NEW.keras"))


def _call(values: flags.FlagValues, old: str, new: str) -> None:
    convert_file(old, new, command.read(ConvertConfig, values))


if __name__ == "__main__":
    main()
