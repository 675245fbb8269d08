"""Everything a registration of two files is told."""

import dataclasses

from vxm_tf.models.saved import SHIPPED

AFFINES = ("none", "header", "register")
SIMILARITIES = ("lncc", "mse", "mi")
NO_MODEL = "none"


@dataclasses.dataclass(frozen=True)
class RegisterConfig:
    """Settings of `register_files`; `register.py` has one flag for each.

    Attributes:
        moving: image to move; any orientation, spacing and shape.
        fixed: image to align it with, likewise.
        model: `.keras` file of the network; "shipped" for the one that comes with the package, for 3-D heads and
            brains; or "none" to register by optimisation alone.
        affine: how the images are brought together first. "header": both lie where their headers say. "register":
            from there, a transform with `dof` degrees of freedom is searched. "none": headers are left aside and
            voxel i lies on voxel i, for images that share one grid.
        dof: of `affine="register"`: 6 rigid, 7 with scale, 9 with a scale for each axis, 12 affine; in 2-D 3 rigid, 4
            with scale, 6 affine.
        moving_mask: brain mask of the moving image, on its grid; only what it holds is aligned.
        fixed_mask: likewise.
        strip_command: command that writes a brain mask, with {image} and {mask} in it, run for images without mask.
        moved: where the moving image on the fixed grid goes, in its own intensities.
        fixed_moved: where the fixed image on the moving grid goes.
        transform: where the transform goes that carries images from moving to fixed.
        inverse_transform: where the one goes that carries images from fixed to moving.
        transform_format: of both: "itk", "fsl", "freesurfer", "afni" or "x5"; by extension if empty.
        displacement: where the displacement goes, `[*spatial, ndim]` in voxels of the fixed grid.
        jacobian: where the determinant of the transform goes, on the fixed grid: local volume in the moving image
            over that in the fixed one.
        labels: segmentation of the moving image.
        moved_labels: where it goes, moved by nearest neighbour.
        points: landmarks of the moving image in millimetres, a table with columns x, y, z.
        moved_points: where they go, carried to the fixed image's space.
        points_convention: "RAS" (NIfTI, FreeSurfer) or "LPS" (ITK, ANTs, DICOM), of both.
        certify: where the certificate goes, JSON: whether the transform and its inverse fold, how regular they are and
            how well they undo each other, with the SHA-256 of the model and of every file read and written.
        report: where a page goes that shows the registration, one HTML file: pictures, certificate, files, settings.
        uncertainty: where a map goes of how sure the registration is, on the fixed grid: standard deviation of the
            displacement, in millimetres, without the affine part.
        error_bound: where a map goes of the radius, in millimetres, that holds the true displacement with the
            probability that the network was calibrated for (90 %), see vxm-calibrate.
        samples: registrations that both are found from; 0 for 16 where one is asked for, and for none otherwise.
        gate: where the verdict goes, JSON: whether the registration looks sound, judged without labels, and why.
        repair: whether a transform that folds, and its inverse, are changed until they do not, before anything is
            moved; those that fold nowhere stay as they are, bit by bit.
        refine: steps of optimisation for this pair, from the network's answer or from nothing; -1 for 0 with a
            network and for enough without.
        refine_seconds: time for them; 0 for no limit.
        similarity: what refining makes alike: "lncc", "mse" or, for images of unlike contrast, "mi".
        spacing_mm: voxel size to work at, where the model records none; 0 for the fixed image's own (without a
            network, coarser where that would be slow).
        orientation: axes to work in, such as "LIA", where the model records none; the fixed image's own if empty.
        output_dir: folder that gets every output under the names of BIDS derivatives, with a JSON file beside the
            transform, a picture and a report.
    """

    moving: str = ""
    fixed: str = ""
    model: str = SHIPPED
    affine: str = "header"
    dof: int = 12
    moving_mask: str = ""
    fixed_mask: str = ""
    strip_command: str = ""
    moved: str = ""
    fixed_moved: str = ""
    transform: str = ""
    inverse_transform: str = ""
    transform_format: str = ""
    displacement: str = ""
    jacobian: str = ""
    labels: str = ""
    moved_labels: str = ""
    points: str = ""
    moved_points: str = ""
    points_convention: str = "RAS"
    certify: str = ""
    report: str = ""
    uncertainty: str = ""
    error_bound: str = ""
    samples: int = 0
    gate: str = ""
    repair: bool = False
    refine: int = -1
    refine_seconds: float = 0.0
    similarity: str = "lncc"
    spacing_mm: float = 0.0
    orientation: str = ""
    output_dir: str = ""


def check_choices(config, choices):
    """Raise `ValueError` for a setting whose value is not among its choices, `{name: values}`."""
    for name, known in choices.items():
        if getattr(config, name) not in known:
            raise ValueError(f"{name} is one of {', '.join(known)}; got {getattr(config, name)!r}.")
