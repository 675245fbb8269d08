"""Check that a server registers whole files as `register.py` does, and that SimpleITK reads the answer the same way.

    python benchmarks/served_nifti.py --model models/brains-2mm-fast/last.keras --data_dir ../shared/data

Two scans of 1 mm, one of them in three other orders of axes, and volumes cut from them with oblique axes, thick
slices, odd shapes, other types and byte orders, go to `register_nifti` over HTTP as files. The moved image and the
transform are compared with those of `register.py --affine header`, and the moved image with SimpleITK's, which applies
the returned transform to the original file. Writes `benchmarks/results/served-nifti.json`.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK
from scipy import ndimage
from scipy.spatial.transform import Rotation
from serving import HERE, ROOT, start_server

from vxm_tf.files.json_file import write_json
from vxm_tf.serving.client import Client


def cut(image, shape, spacing, degrees, dtype, slope=None, sform=True):
    """A volume with axes of its own, resampled from an image around its middle."""
    source = nibabel.as_closest_canonical(image)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xz", degrees, degrees=True).as_matrix() @ np.diag(spacing)
    middle = nibabel.affines.apply_affine(source.affine, (np.array(source.shape) - 1) / 2)
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    step = np.linalg.inv(source.affine) @ affine
    values = ndimage.affine_transform(source.get_fdata(), step[:3, :3], step[:3, 3], shape, order=1)
    header = nibabel.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(np.dtype(dtype))
    volume = nibabel.Nifti1Image(values.astype(dtype), affine, header)
    volume.set_qform(affine, 1)
    volume.set_sform(affine, int(sform))
    if slope:
        volume.header.set_slope_inter(*slope)
    return volume


def pairs(data_dir, folder):
    """Files of each pair, {name: (moving, fixed)}."""
    scans = [data_dir / "brains-1mm" / "val" / f"oasis_{number}_norm.nii.gz" for number in (1003, 1004)]
    turned = sorted((data_dir / "orientations-48").glob("*.nii.gz"))
    image = nibabel.load(scans[0])
    volumes = {
        "oblique thick slices": cut(image, (171, 203, 41), (1, 1, 4.3), (18, -12), "<i2"),
        "flipped coronal": cut(image, (97, 33, 111), (-1.9, 6.0, -1.7), (18, -12), ">i2"),
        "unsigned, qform only": cut(image, (101, 141, 141), (1.5, 1.2, 1.2), (0, 0), "<u2", sform=False),
        "big-endian float64": cut(image, (101, 141, 141), (1.5, 1.2, 1.2), (5, 0), ">f8"),
        "64-bit integers": cut(image, (101, 141, 141), (1.5, 1.2, 1.2), (0, 7), "<i8"),
    }
    files = {"two scans": tuple(scans)}
    files |= {f"moving in {f.name[:3]}": (f, scans[1]) for f in turned[5:48:17]}
    files[f"fixed in {turned[30].name[:3]}"] = (scans[1], turned[30])
    for name, volume in volumes.items():
        path = folder / f"{name}.nii.gz"
        nibabel.save(volume, path)
        files[f"moving {name}"], files[f"fixed {name}"] = (path, scans[1]), (scans[1], path)
    return files


def compare(client, moving, fixed, model, folder):
    """Largest differences between the server, `register.py` and SimpleITK for one pair."""
    answer = client.register_nifti(moving.read_bytes(), fixed.read_bytes())
    served = {"moved": folder / "served.nii", "transform": folder / "served_transform.nii"}
    for name, path in served.items():
        path.write_bytes(getattr(answer, name))
    own = {name: folder / f"own_{name}.nii.gz" for name in served}
    command = [sys.executable, str(ROOT / "register.py"), "--model", model, "--moving", str(moving)]
    files = [part for name, path in own.items() for part in (f"--{name}", str(path))]
    subprocess.run([*command, "--fixed", str(fixed), *files], check=True, capture_output=True)
    images = {name: nibabel.load(path) for name, path in (("served", served["moved"]), ("own", own["moved"]))}
    values = {name: image.get_fdata() for name, image in images.items()}
    fields = [nibabel.load(path).get_fdata() for path in (served["transform"], own["transform"])]
    size = np.ptp(values["own"])
    return {
        "shape": list(images["served"].shape),
        "affine": float(np.abs(images["served"].affine - nibabel.load(fixed).affine).max()),
        "moved_fraction_of_range": float(np.abs(values["served"] - values["own"]).max() / size),
        "transform_mm": float(np.abs(fields[0] - fields[1]).max()),
        "simpleitk_fraction_of_range": float(
            np.abs(by_simpleitk(moving, fixed, served) - values["served"]).max() / size
        ),
        "largest_displacement_mm": float(np.abs(fields[1]).max()),
    }


def by_simpleitk(moving, fixed, served):
    """The original file, moved by the returned transform in SimpleITK, `[x, y, z]`."""
    field = SimpleITK.ReadImage(str(served["transform"]), SimpleITK.sitkVectorFloat64)
    transform = SimpleITK.DisplacementFieldTransform(field)
    images = [SimpleITK.ReadImage(str(path), SimpleITK.sitkFloat32) for path in (moving, fixed)]
    moved = SimpleITK.Resample(*images, transform, SimpleITK.sitkLinear, 0.0)
    return SimpleITK.GetArrayFromImage(moved).T


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a .keras file, or shipped")
    parser.add_argument("--data_dir", required=True, type=Path, help="folder with brains-1mm and orientations-48")
    options = parser.parse_args()
    differences = {}
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        command = [sys.executable, str(ROOT / "export" / "export_model.py"), "--model", options.model]
        subprocess.run([*command, "--output_dir", str(folder / "vxm")], check=True, capture_output=True)
        process, url = start_server(folder / "vxm")
        try:
            for name, (moving, fixed) in pairs(options.data_dir, folder).items():
                differences[name] = compare(Client(url, timeout_seconds=600), moving, fixed, options.model, folder)
                print(name, differences[name], flush=True)
        finally:
            process.terminate()
    numbers = ("affine", "moved_fraction_of_range", "transform_mm", "simpleitk_fraction_of_range")
    worst = {key: max(pair[key] for pair in differences.values()) for key in numbers}
    print(worst)
    result = {"model": options.model, "worst": worst, "pairs": differences}
    write_json(HERE / "results" / "served-nifti.json", result)


if __name__ == "__main__":
    main()
