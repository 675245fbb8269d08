"""The command vxm-apply."""

from vxm_tf.cli import command
from vxm_tf.workflows.apply_transforms import ApplyConfig, apply_files
from vxm_tf.spatial.interpolation import ORDERS
from vxm_tf.spatial.points import CONVENTIONS
from vxm_tf.spatial.transform_files import FORMATS

DESCRIPTION = "Move an image, a series, labels or landmarks by transforms of any tool."


def define_flags(values):
    """One flag for each field of `ApplyConfig`."""
    flag = command.Flags(values, ApplyConfig())
    flag.strings("transforms", "Files with commas between, in the order in which an image goes through them.")
    flag.choice("transform_format", ("", *FORMATS), "Of all of them; by extension and content if empty.")
    flag.string("reference", "The transforms' fixed image, whose grid what is moved gets.")
    flag.string("moving", "The transforms' moving image, where a format needs its grid (FSL).")
    flag.string("image", "Image or series to move.")
    flag.string("moved", "Where it goes.")
    flag.choice("interpolation", ORDERS, "Of the image.")
    flag.float("fill_value", "Of the moved image where there is nothing.")
    flag.string("labels", "Label map to move, by nearest neighbour.")
    flag.string("moved_labels", "Where it goes.")
    flag.string("points", "Landmarks in mm: a table with columns x, y, z.")
    flag.string("moved_points", "Where they go.")
    flag.choice("points_convention", CONVENTIONS, "Of both tables.")
    flag.boolean("points_follow_image", "Landmarks of the moving image go where its voxels go; else as the file maps.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "transforms")
    apply_files(command.config(ApplyConfig, values, transforms=tuple(values.transforms)))


if __name__ == "__main__":
    main()
