"""The tools that are compared, each as `register(moving, fixed, spacing_mm) -> displacement`.

Images are float32 `[*spatial]`, 0 to 255, already aligned by an affine transform. The displacement is float32
`[*spatial, 3]`, in voxels: moved(x) = moving(x + displacement(x)). A class imports what it needs when it is made, so
that a tool's import is timed too. Settings are those that each tool documents for brains; each class names their
source.
"""

import contextlib
import io

import numpy as np

THREADS = 2


class Affine:
    """No registration: the images as they are stored."""

    def register(self, moving, fixed, spacing_mm):
        return np.zeros((*fixed.shape, 3), "float32")


class Greedy:
    """picsl-greedy (Yushkevich et al.): weighted NCC in a radius of 2, three grids, its default smoothing."""

    settings = "-m WNCC 2x2x2 -n 100x100x50 -s 1.732vox 0.707vox"

    def __init__(self):
        import SimpleITK
        from picsl_greedy import Greedy3D

        self.itk, self.program = SimpleITK, Greedy3D

    def register(self, moving, fixed, spacing_mm):
        program = self.program()
        images = {"moving": _itk_image(moving, spacing_mm), "fixed": _itk_image(fixed, spacing_mm)}
        program.execute(f"-threads {THREADS} -i fixed moving {self.settings} -o warp", warp=None, **images)
        return _itk_displacement(program["warp"], spacing_mm)


class SyN:
    """ANTs' SyN, as `antsRegistrationSyN.sh` runs its deformable stage: CC in a radius of 4, four grids."""

    settings = {
        "type_of_transform": "SyNOnly",
        "syn_metric": "CC",
        "syn_sampling": 4,
        "reg_iterations": (100, 70, 50, 20),
        "grad_step": 0.1,
        "flow_sigma": 3,
        "total_sigma": 0,
    }

    def __init__(self):
        import ants

        self.ants = ants

    def register(self, moving, fixed, spacing_mm):
        images = [self.ants.from_numpy(image, spacing=spacing_mm) for image in (fixed, moving)]
        answer = self.ants.registration(*images, initial_transform="Identity", **self.settings)
        warp = next(name for name in answer["fwdtransforms"] if name.endswith("Warp.nii.gz"))
        return (self.ants.image_read(warp).numpy() / np.array(spacing_mm)).astype("float32")


class SyNQuick(SyN):
    """ANTs' SyN as `antsRegistrationSyNQuick.sh` runs it: mutual information of 32 bins, no finest grid."""

    settings = {**SyN.settings, "syn_metric": "mattes", "syn_sampling": 32, "reg_iterations": (100, 70, 50, 0)}


class Demons:
    """SimpleITK's diffeomorphic demons on three grids, as in the notebooks of SimpleITK, histograms matched."""

    settings = {"shrink": (4, 2, 1), "iterations": (100, 50, 20), "sigma_voxels": 1.5}

    def __init__(self):
        import SimpleITK

        self.itk = SimpleITK

    def register(self, moving, fixed, spacing_mm):
        itk, chosen = self.itk, self.settings
        fixed, moving = _itk_image(fixed, spacing_mm), _itk_image(moving, spacing_mm)
        moving = itk.HistogramMatching(moving, fixed, 1024, 7, True)
        field = itk.Image(fixed.GetSize(), itk.sitkVectorFloat64)
        field.CopyInformation(fixed)
        for shrink, iterations in zip(chosen["shrink"], chosen["iterations"]):
            small = [itk.Shrink(itk.SmoothingRecursiveGaussian(image, 0.5 * shrink * min(spacing_mm)), [shrink] * 3)
                     if shrink > 1 else image for image in (fixed, moving)]  # fmt: skip
            demons = itk.DiffeomorphicDemonsRegistrationFilter()
            demons.SetNumberOfIterations(iterations)
            demons.SetStandardDeviations(chosen["sigma_voxels"])
            demons.SetSmoothDisplacementField(True)
            start = itk.Resample(field, small[0], itk.Transform(), itk.sitkLinear, 0.0, itk.sitkVectorFloat64)
            field = demons.Execute(*small, start)
        whole = itk.Resample(field, fixed, itk.Transform(), itk.sitkLinear, 0.0, itk.sitkVectorFloat64)
        return _itk_displacement(whole, spacing_mm)


class ConvexAdam:
    """ConvexAdam on MIND features (Siebert et al., IEEE TMI 2024), with its own defaults, on the CPU."""

    def __init__(self):
        import torch
        from convexAdam import convex_adam_MIND

        self.torch, self.function = torch, convex_adam_MIND.convex_adam_pt
        torch.set_num_threads(THREADS)

    def register(self, moving, fixed, spacing_mm):
        with contextlib.redirect_stdout(io.StringIO()):
            field = self.function(
                img_fixed=self.torch.from_numpy(fixed),
                img_moving=self.torch.from_numpy(moving),
                device=self.torch.device("cpu"),
                dtype=self.torch.float32,
            )
        return np.asarray(field, "float32")


class TorchVoxelMorph:
    """VoxelMorph 0.3.4's own network, with weights of `train_voxelmorph.py`."""

    def __init__(self, weights):
        import torch
        from voxelmorph_network import load_network, padded

        torch.set_num_threads(THREADS)
        self.torch, self.padded, self.network = torch, padded, load_network(weights).eval()

    def register(self, moving, fixed, spacing_mm):
        images = [self.padded(self.torch.from_numpy(image / 255.0)[None, None]) for image in (moving, fixed)]
        with self.torch.no_grad():
            field = self.network(*images, return_field_type="displacement")
        field = field[-1] if isinstance(field, tuple) else field
        inside = tuple(slice(size) for size in fixed.shape)
        return field[0].numpy().transpose(1, 2, 3, 0)[inside].astype("float32")


class Network:
    """A network of ours, alone or with steps of refinement.

    `model` "none" refines from the identity; the name of a preset stands for its network with untrained weights.
    """

    def __init__(self, model, steps=0):
        import vxm_tf  # noqa: F401 - before TensorFlow, for oneDNN
        from vxm_tf.data import normalize
        from vxm_tf.models import PRESETS, from_preset, input_settings, load_model
        from vxm_tf.registration.optimization.config import STEPS, RefineConfig
        from vxm_tf.registration.optimization.refine import refine, starting_velocity
        from vxm_tf.registration.predict import register_pair

        if model in PRESETS:
            self.network = from_preset(model, (None, None, None))
        else:
            self.network = None if model == "none" else load_model(model)
        chosen = input_settings(self.network)["normalization"] if self.network else "percentile"
        self.normalize = lambda image: normalize(image[..., None], chosen)
        self.config = RefineConfig(steps=int(steps) or STEPS)
        self.refined = bool(int(steps)) or self.network is None
        self.predict, self.refine, self.start = register_pair, refine, starting_velocity

    def register(self, moving, fixed, spacing_mm):
        moving, fixed = self.normalize(moving), self.normalize(fixed)
        if self.network and self.network.settings["image_shape"] != fixed.shape[:-1]:
            self.network = self.network.for_shape(fixed.shape[:-1])
        if not self.refined:
            return self.predict(self.network, moving, fixed).displacement
        velocity = None if self.network is None else self.start(self.network, moving, fixed)
        return self.refine(moving, fixed, velocity, self.config).displacement


TOOLS = {
    "affine": Affine,
    "demons": Demons,
    "syn-quick": SyNQuick,
    "syn": SyN,
    "greedy": Greedy,
    "convexadam": ConvexAdam,
    "voxelmorph-torch": TorchVoxelMorph,
    "network": Network,
}


def _itk_image(array, spacing_mm):
    """An array `[x, y, z]` as an ITK image; ITK's arrays run z, y, x."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing([float(step) for step in spacing_mm])
    return image


def _itk_displacement(field, spacing_mm):
    """Displacement in voxels from ITK's in millimetres, whose axes are the array's here."""
    import SimpleITK

    return (SimpleITK.GetArrayFromImage(field).transpose(2, 1, 0, 3) / np.array(spacing_mm)).astype("float32")
