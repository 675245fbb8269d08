"""Checks before a transform is written, so that no input is overwritten and no work is lost."""

from typing import Protocol

from vxm_tf.files.distinct_paths import check_distinct
from vxm_tf.spatial.transform_files import check_transform_output
from vxm_tf.spatial.transforms import Transform, is_affine


class TransformOutput(Protocol):
    """A configuration that writes one transform.

    Attributes:
        fixed: path of the fixed image, or empty.
        moving: path of the moving image, or empty.
        output: path of the transform to be written.
        output_format: its format; empty chooses by extension.
    """

    fixed: str
    moving: str
    output: str
    output_format: str


def check_inputs(config: TransformOutput, transforms: dict[str, str]) -> None:
    """Raise `InputError` if the output would replace one of the inputs.

    Args:
        config: names the output and both images.
        transforms: how messages call each transform file, to its path.
    """
    check_distinct({"--output": config.output}, {**transforms, "--fixed": config.fixed, "--moving": config.moving})


def check_output_format(config: TransformOutput, transform: Transform) -> None:
    """Raise `InputError` if the output's format cannot hold a transform like this."""
    check_transform_output(config.output, config.output_format or None, transform.ndim, affine=is_affine(transform))
