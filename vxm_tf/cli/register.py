"""The command vxm-register."""

from absl import logging

from vxm_tf.cli import command
from vxm_tf.data import normalize
from vxm_tf.files.headers import has_place
from vxm_tf.files.json_file import read_json
from vxm_tf.registration import RegisterConfig, register_files
from vxm_tf.registration.bids import beside, with_bids_names
from vxm_tf.registration.certificate_file import certificate_of
from vxm_tf.registration.config import AFFINES, SIMILARITIES
from vxm_tf.registration.files import WRITTEN
from vxm_tf.report import registration_panel, write_picture, write_registration_report
from vxm_tf.spatial import dense, reoriented_grid, resample
from vxm_tf.spatial.points import CONVENTIONS
from vxm_tf.spatial.transform_files import FORMATS
from vxm_tf.spatial.transforms import voxel_displacement

DESCRIPTION = "Align a moving image with a fixed one, each as it comes: any orientation, spacing and shape."
OUTPUTS = (
    "moved", "fixed_moved", "transform", "inverse_transform", "displacement", "jacobian", "moved_labels",
    "moved_points", "uncertainty", "error_bound", "certify", "gate", "report", "output_dir",
)  # fmt: skip
# The panel shows rows of a 2-D image downwards, and turns slices of a 3-D one itself.
DRAWN = {2: "PR", 3: "RAS"}


def define_flags(values):
    """One flag for each field of `RegisterConfig`."""
    flag = command.Flags(values, RegisterConfig())
    flag.string("moving", "Image to move (NIfTI, MGZ, NPZ).")
    flag.string("fixed", "Image to align it with.")
    flag.string("model", "The .keras file of the network; none to register by optimisation alone.")
    flag.choice("affine", AFFINES, "First: trust the headers, register from there, or lay voxel on voxel.")
    flag.integer("dof", "Of --affine register: 6 rigid, 7, 9 or 12 affine; in 2-D 3 rigid, 4, or 6 affine.")
    flag.string("moving_mask", "Brain mask of the moving image.")
    flag.string("fixed_mask", "Brain mask of the fixed image.")
    flag.string("strip_command", "Command that writes a mask, such as 'mri_synthstrip -i {image} -m {mask}'.")
    flag.string("moved", "Where the moving image on the fixed grid goes.")
    flag.string("fixed_moved", "Where the fixed image on the moving grid goes.")
    flag.string("transform", "Where the transform from moving to fixed goes (.nii.gz, .h5, .mgz, .x5).")
    flag.string("inverse_transform", "Where the transform from fixed to moving goes.")
    flag.choice("transform_format", ("", *FORMATS), "Of both; by extension if empty, .nii.gz being itk.")
    flag.string("displacement", "Where the displacement goes, in voxels of the fixed grid.")
    flag.string("jacobian", "Where the determinant goes: local volume in moving over that in fixed.")
    flag.string("labels", "Segmentation of the moving image.")
    flag.string("moved_labels", "Where it goes, moved by nearest neighbour.")
    flag.string("points", "Landmarks of the moving image in mm: a table with columns x, y, z.")
    flag.string("moved_points", "Where they go, in the fixed image's space.")
    flag.choice("points_convention", CONVENTIONS, "Of both tables.")
    flag.string("certify", "Where the certificate goes that nothing folds, or that it does (.json).")
    flag.string("report", "Where a page goes that shows the registration, one HTML file (.html).")
    flag.string("uncertainty", "Where a map goes of how sure it is: standard deviation of the displacement, mm.")
    flag.string("error_bound", "Where a map goes of the radius that holds the truth, mm; for a calibrated network.")
    flag.integer("samples", "Registrations that both are found from; 0: 16 where one of them is asked for.")
    flag.string("gate", "Where the verdict goes whether this looks sound: pass, review or fail, and why (.json).")
    flag.boolean("repair", "Change a transform that folds, and its inverse, until they do not.")
    flag.integer("refine", "Steps of optimisation for this pair; -1: 0 with a network, enough without.")
    flag.float("refine_seconds", "Time for them; 0 for no limit.")
    flag.choice("similarity", SIMILARITIES, "What they make alike; mi for unlike contrast.")
    flag.float("spacing_mm", "Voxel size to work at, where the model records none.")
    flag.string("orientation", "Axes to work in, such as LIA, where the model records none.")
    flag.string("output_dir", "Folder for every output, named after BIDS derivatives, with JSON, picture and report.")


def main(argv=None):
    """Entry point."""
    command.run(define_flags, _call, DESCRIPTION, argv)


def _call(values):
    command.require(values, "moving", "fixed")
    if not any(getattr(values, name) for name in OUTPUTS):
        raise ValueError(f"Nothing to write: give {', '.join('--' + name for name in OUTPUTS[:-1])} or --output_dir.")
    config = command.config(RegisterConfig, values)
    result = register_files(config)
    if config.output_dir or config.report:
        _draw(result, config)


def _draw(result, config):
    """The picture and the report of a registration."""
    if config.output_dir:
        config = with_bids_names(config)
        _draw_panel(result, config)
    if config.report:
        # The one that was written names the files that were written; it is not computed twice.
        certificate = read_json(config.certify) if config.certify else certificate_of(config, result, WRITTEN)
        write_registration_report(config.report, result, certificate)
        logging.info("Report: %s", config.report)


def _draw_panel(result, config):
    """The panel of a registration, in the usual orientation, at the voxel size that was worked at."""
    grid = reoriented_grid(result.working_grid, DRAWN[result.fixed.grid.ndim])
    images = [
        resample(result.moving.array, result.moving.grid, grid, result.affine),
        resample(result.fixed.array, result.fixed.grid, grid),
        resample(result.moving.array, result.moving.grid, grid, result.chain),
    ]
    images = [normalize(image, "percentile") for image in images]
    displacement = voxel_displacement(dense(result.field, grid))
    orientation = DRAWN[grid.ndim] if result.fixed.volume is not None and has_place(result.fixed.volume) else ""
    picture = registration_panel(*images, displacement, orientation=orientation, spacing=grid.spacing_mm)
    write_picture(beside(config.transform, ".png"), picture)
