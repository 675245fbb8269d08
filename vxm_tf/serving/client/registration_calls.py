"""Registrations by a served model, by REST or gRPC alike."""

import abc
import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vxm_tf.serving.client.encoding import decode_displacement, decode_image, encode_pair
from vxm_tf.serving.client.errors import ServingError


@dataclasses.dataclass(frozen=True)
class NiftiAnswer:
    """The two files that a registration of files returns.

    Attributes:
        moved: float32 `.nii` on the fixed image's grid.
        transform: `.nii` with ITK's displacement field, LPS millimetres, on the fixed image's grid.
    """

    moved: bytes
    transform: bytes


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayAnswer:
    """The two arrays that a registration of arrays returns, on the fixed image's grid.

    Attributes:
        moved: float32 `[*spatial]`, in the moving image's intensities.
        displacement: float32 `[*spatial, ndim]` in voxels: moved(x) = moving(x + displacement(x)).
    """

    moved: np.ndarray
    displacement: np.ndarray


class RegistrationCalls(abc.ABC):
    """The calls of a served registration network."""

    @abc.abstractmethod
    def predict(self, signature: str, inputs: dict[str, Any]) -> Any:
        """Return the outputs of a signature."""

    def register_nifti(self, moving: bytes, fixed: bytes) -> NiftiAnswer:
        """Register two NIfTI files, each on a grid of its own.

        Args:
            moving: content of a `.nii` or `.nii.gz` file.
            fixed: content of a `.nii` or `.nii.gz` file.

        Raises:
            ServingError: no answer, or one that is no registration.
        """
        outputs = self.predict("register_nifti", {"moving": moving, "fixed": fixed})
        files = _picked(outputs, "moved_bytes", "transform_bytes")
        for name, content in zip(("moved_bytes", "transform_bytes"), files):
            # The first number of a NIfTI-1 file is the size of its header.
            if not isinstance(content, bytes) or content[:4] != b"\x5c\x01\0\0":
                raise ServingError(f"The answer's {name} is no NIfTI file. Does the server serve a vxm_tf model?")
        return NiftiAnswer(*files)

    def register(self, moving: ArrayLike, fixed: ArrayLike) -> ArrayAnswer:
        """Register two arrays on one grid.

        Args:
            moving: numbers `[*spatial]`, 2-D or 3-D, in any intensities; sent as uint8, uint16 or float32.
            fixed: numbers of the same shape.

        Raises:
            ServingError: no answer, or one that is no registration.
            InputError: arrays that cannot be registered.
        """
        outputs = self.predict("register_bytes", encode_pair(moving, fixed))
        names = "moved_bytes", "moved_range", "displacement_bytes", "shape"
        moved, moved_range, displacement, shape = _picked(outputs, *names)
        if tuple(shape) != np.shape(fixed):
            raise ServingError(f"The answer is of shape {list(shape)}; that of fixed is {list(np.shape(fixed))}.")
        shape = np.shape(fixed)
        return ArrayAnswer(decode_image(moved, moved_range, shape), decode_displacement(displacement, shape))


def _picked(outputs: Any, *names: str) -> list[Any]:
    held = list(outputs) if isinstance(outputs, dict) else []
    if missing := [name for name in names if name not in held]:
        raise ServingError(
            f"The answer lacks {', '.join(missing)}; it holds {', '.join(held) or 'no named outputs'}. Does the server "
            "serve a vxm_tf model?"
        )
    return [outputs[name] for name in names]
