"""Checks before a transform is written, so that no input is overwritten and no work is lost."""

from typing import Protocol

from vxm_tf.files.distinct_paths import check_distinct
from vxm_tf.spatial.transform_files import check_transform_output
from vxm_tf.spatial.transforms import Transform, is_affine


class TransformOutput(Protocol):
    """A configuration that writes one transform."""

    @property
    def fixed(self) -> str:
        """Path of the fixed image, or empty."""

    @property
    def moving(self) -> str:
        """Path of the moving image, or empty."""

    @property
    def output(self) -> str:
        """Path of the transform to be written."""

    @property
    def output_format(self) -> str:
        """Format of the output; empty chooses by extension."""


def check_inputs(config: TransformOutput, transforms: dict[str, str]) -> None:
    """Raise `InputError` if the output would replace one of the inputs.

    Args:
        config: paths of the output and of both images.
        transforms: path of each transform file, by its name in messages.
    """
    check_distinct({"--output": config.output}, {**transforms, "--fixed": config.fixed, "--moving": config.moving})


def check_output_format(config: TransformOutput, transform: Transform) -> None:
    """Raise `InputError` if the output's format cannot hold this kind of transform."""
    check_transform_output(config.output, config.output_format or None, transform.ndim, affine=is_affine(transform))
