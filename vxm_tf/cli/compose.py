"""The command vxm-compose."""

from vxm_tf.cli import command
from vxm_tf.spatial.chain_files import ComposeConfig, compose_files
from vxm_tf.spatial.transform_files import FORMATS

DESCRIPTION = "Write several transforms as one, or one in another tool's format."


def define_flags(values):
    """One flag for each field of `ComposeConfig`."""
    flag = command.Flags(values, ComposeConfig())
    flag.strings("transforms", "Files with commas between, in the order in which an image goes through them.")
    flag.choice("transform_format", ("", *FORMATS), "Of all of them; by extension and content if empty.")
    flag.string("fixed", "Image in whose space the last one ends; its grid is the written field's.")
    flag.string("moving", "Image in whose space the first one starts, where a format needs it.")
    flag.string("output", "Where the one transform goes.")
    flag.choice("output_format", ("", *FORMATS), "Of it; by extension if empty.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "transforms", "fixed", "output")
    compose_files(command.config(ComposeConfig, values, transforms=tuple(values.transforms)))


if __name__ == "__main__":
    main()
