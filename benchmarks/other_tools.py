"""Check that ANTs, SimpleITK and nitransforms read our transforms as we mean them, and that we read ANTs' own.

    python benchmarks/other_tools.py --moving A.nii.gz --fixed B.nii.gz --model none --affine register

Registers two images, writes the transform both ways, deformable alone and composed with the affine part, and lets each
tool apply each file to the image and to 500 landmarks. Then ANTs registers, and `vxm-apply` applies its transform. The
result holds the largest differences between the tool and us: for the image as a fraction of its range, for the
landmarks in millimetres. Needs the extra `benchmarks`. Writes `benchmarks/results/other-tools.json`.

nitransforms interpolates a field between its voxels by cubic splines, unlike the tools whose files these are, so its
landmarks lie on voxels; and it ends an image at the outermost voxel centres, so the half voxel beyond is left out.
"""

import argparse
import importlib.metadata
import tempfile
from pathlib import Path

import ants
import nibabel
import nitransforms
import numpy as np
import pandas
import SimpleITK as sitk

from vxm_tf.files.json_file import write_json
from vxm_tf.models import load_model
from vxm_tf.registration import RegistrationSettings, register_images
from vxm_tf.spatial import Chain, dense, invert, read_spatial_image, resample
from vxm_tf.spatial.transform_files import write_transform
from vxm_tf.workflows.apply_transforms import ApplyConfig, apply_files

HERE = Path(__file__).resolve().parent
LPS = np.array((-1.0, -1.0, 1.0))


def with_ants(file, image, onto, points):
    moved = ants.apply_transforms(
        ants.image_read(str(onto)), ants.image_read(str(image)), [str(file)], interpolator="linear"
    ).numpy()
    table = pandas.DataFrame(points * LPS, columns=["x", "y", "z"])
    there = ants.apply_transforms_to_points(3, table, [str(file)])[["x", "y", "z"]].to_numpy() * LPS
    return moved, there


def with_simpleitk(file, image, onto, points):
    if file.suffix == ".h5":
        transform = sitk.ReadTransform(str(file))
    else:
        transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(file), sitk.sitkVectorFloat64))
    moved = sitk.Resample(sitk.ReadImage(str(image), sitk.sitkFloat32), sitk.ReadImage(str(onto)), transform)
    there = np.array([transform.TransformPoint(point) for point in (points * LPS).tolist()]) * LPS
    return np.transpose(sitk.GetArrayFromImage(moved)), there


def with_nitransforms(file, image, onto, points):
    if file.name.endswith(".nii.gz"):
        transform = nitransforms.nonlinear.DenseFieldTransform.from_filename(str(file), fmt="itk")
    else:
        transform = nitransforms.manip.TransformChain.from_filename(
            str(file), fmt="itk" if file.suffix == ".h5" else None
        )
    moved = nitransforms.resampling.apply(transform, str(image), reference=str(onto), order=1)
    return moved.get_fdata(), transform.map(points)


TOOLS = {"ANTs": with_ants, "SimpleITK": with_simpleitk, "nitransforms": with_nitransforms}


def cases(result):
    """Yield (name, transform, moving image, image whose grid it moves to)."""
    moving, fixed = result.moving, result.fixed
    alone = result.field
    back = invert(alone, fixed.grid).transform
    yield "deformable and affine, forward", result.chain, moving, fixed
    yield "deformable and affine, inverse", result.inverse, fixed, moving
    yield "deformable alone, forward", alone, moving, fixed
    yield "deformable alone, inverse", back, fixed, fixed


def as_nifti(image, path):
    nibabel.save(nibabel.Nifti1Image(image.array[..., 0], image.grid.affine), path)
    return path


def inside(image, offset, count=500):
    voxels = np.argwhere(image.array[..., 0] > 0.2 * image.array.max())
    return image.grid.to_world(np.random.default_rng(0).choice(voxels, count) + offset)


def between_centres(image, onto, field):
    """Mask of the voxels whose value comes from between voxel centres of the image, or from well outside it."""
    location = image.grid.to_indices(onto.grid.points() + field.displacement_mm)
    beyond = np.maximum(-location, location - (np.array(image.grid.shape) - 1)).max(axis=-1)
    return (beyond <= 0) | (beyond > 0.51)


def ours_for_others(result, folder):
    """Rows that compare each tool's reading of our transforms with ours."""
    rows = []
    files = {id(i): as_nifti(i, folder / f"{n}.nii.gz") for n, i in (("m", result.moving), ("f", result.fixed))}
    for name, transform, image, onto in cases(result):
        field = dense(transform, onto.grid)
        ours = resample(image.array[..., 0], image.grid, onto.grid, field)
        compared = between_centres(image, onto, field)
        for ending in (".nii.gz", ".h5"):
            file = folder / f"transform{ending}"
            write_transform(file, Chain((transform,)), onto.grid)
            for tool, apply in TOOLS.items():
                points = inside(onto, 0.0 if tool == "nitransforms" else 0.3)
                # Parts of a chain go on up to half a voxel beyond the outermost centres; one field of both does not.
                expected = (field if ending == ".nii.gz" else transform).map(points)
                try:
                    moved, mapped = apply(file, files[id(image)], files[id(onto)], points)
                    difference = np.abs(moved - ours)[compared if tool == "nitransforms" else ...]
                    row = {
                        "image": float(difference.max() / np.ptp(ours)),
                        "landmarks_mm": float(np.linalg.norm(mapped - expected, axis=1).max()),
                    }
                except Exception as error:
                    row = {"error": f"{type(error).__name__}: {error}"[:200]}
                rows.append({"case": name, "file": ending, "tool": tool, **row})
                print(rows[-1], flush=True)
    return rows


def theirs_for_us(result, folder):
    """Rows that compare `vxm-apply` with ANTs, for transforms that ANTs made."""
    moving, fixed = (ants.image_read(str(as_nifti(i, folder / f"{n}.nii.gz"))) for n, i in
                     (("m", result.moving), ("f", result.fixed)))  # fmt: skip
    made = ants.registration(fixed, moving, "SyN", reg_iterations=(20, 10, 0), random_seed=1)
    rows = []
    points = inside(result.fixed, 0.3)
    (folder / "points.csv").write_text("x,y,z\n" + "\n".join(",".join(map(str, p)) for p in points * LPS))
    # ANTs lists transforms in the order in which points pass them, we in the order in which the image does.
    for name, transforms, reference, image, where in (
        ("forward", made["fwdtransforms"], "f", "m", [False, False]),
        ("warp alone", made["fwdtransforms"][:1], "f", "m", [False]),
    ):
        theirs = ants.apply_transforms(
            ants.image_read(str(folder / f"{reference}.nii.gz")), ants.image_read(str(folder / f"{image}.nii.gz")),
            transforms, interpolator="linear", whichtoinvert=where,
        ).numpy()  # fmt: skip
        table = pandas.DataFrame(points * LPS, columns=["x", "y", "z"])
        mapped = ants.apply_transforms_to_points(3, table, transforms, whichtoinvert=where)[["x", "y", "z"]].to_numpy()
        apply_files(
            ApplyConfig(
                transforms=tuple(reversed(transforms)),
                reference=str(folder / f"{reference}.nii.gz"),
                image=str(folder / f"{image}.nii.gz"),
                moved=str(folder / "moved.nii.gz"),
                points=str(folder / "points.csv"),
                moved_points=str(folder / "moved.csv"),
                points_convention="LPS",
            )
        )
        moved = nibabel.load(folder / "moved.nii.gz").get_fdata()
        ours = np.loadtxt(folder / "moved.csv", delimiter=",", skiprows=1)
        row = {"image": float(np.abs(moved - theirs).max() / np.ptp(theirs))}
        row["landmarks_mm"] = float(np.linalg.norm(ours - mapped, axis=1).max())
        rows.append({"case": f"ANTs' own, {name}", "file": ".nii.gz, .mat", "tool": "vxm-apply", **row})
        print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moving", required=True, help="NIfTI file")
    parser.add_argument("--fixed", required=True, help="NIfTI file")
    parser.add_argument("--model", default="none", help="shipped, a .keras file, or none")
    parser.add_argument("--affine", default="register", help="as in register.py")
    parser.add_argument("--refine", type=int, default=-1, help="as in register.py")
    options = parser.parse_args()
    network = None if options.model == "none" else load_model(options.model)
    moving, fixed = (read_spatial_image(path) for path in (options.moving, options.fixed))
    settings = RegistrationSettings(affine=options.affine, refine=options.refine)
    result = register_images(moving, fixed, network, settings)
    with tempfile.TemporaryDirectory() as folder:
        rows = ours_for_others(result, Path(folder)) + theirs_for_us(result, Path(folder))
    versions = {name: importlib.metadata.version(name) for name in ("antspyx", "SimpleITK", "nitransforms")}
    record = {"settings": vars(options), "versions": versions, "largest_differences": rows}
    write_json(HERE / "results" / "other-tools.json", record)


if __name__ == "__main__":
    main()
