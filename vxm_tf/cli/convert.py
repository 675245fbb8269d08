"""The command vxm-convert."""

from vxm_tf.cli import command
from vxm_tf.workflows.convert_network import ConvertConfig, convert_file

DESCRIPTION = "Adopt a network that VoxelMorph saved: vxm-convert OLD.h5 NEW.keras"


def define_flags(values):
    """One flag for each field of `ConvertConfig`."""
    command.define(values, ConvertConfig)


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv, positional=("OLD.h5", "NEW.keras"))


def _call(values, old, new):
    convert_file(old, new, command.read(ConvertConfig, values))


if __name__ == "__main__":
    main()
