"""A registration that knows where its images came from, so that it can be saved with all its outputs."""

import dataclasses
import os
import time
from pathlib import Path

from vxm_tf.files.errors import InputError
from vxm_tf.registration import RegistrationResult, RegistrationSettings
from vxm_tf.spatial.sources import LabelSource, source_name
from vxm_tf.workflows.output_names import in_output_dir
from vxm_tf.workflows.outputs import check_outputs, write_outputs
from vxm_tf.workflows.register_config import RegisterConfig
from vxm_tf.workflows.registration_inputs import check_planes, read_along


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RegisteredPair(RegistrationResult):
    """A `RegistrationResult` that can be saved.

    Attributes:
        config: files of the registration; an image that was passed in memory has its name, marked as in memory.
        settings: settings of the registration.
        multichannel: whether the last axis of the images is channels.
        elapsed_seconds: wall time of reading and registering, in seconds.
    """

    config: RegisterConfig
    settings: RegistrationSettings
    multichannel: bool = False
    elapsed_seconds: float = 0.0

    @classmethod
    def of(
        cls,
        result: RegistrationResult,
        config: RegisterConfig,
        settings: RegistrationSettings,
        multichannel: bool,
        elapsed_seconds: float,
    ) -> "RegisteredPair":
        """A registration result together with its files and settings."""
        pair = cls(
            **{field.name: getattr(result, field.name) for field in dataclasses.fields(RegistrationResult)},
            config=config,
            settings=settings,
            multichannel=multichannel,
            elapsed_seconds=elapsed_seconds,
        )
        # Values that the result has computed already (transform, inverse, certificate) are not computed again.
        pair.__dict__.update({name: value for name, value in result.__dict__.items() if name not in pair.__dict__})
        return pair

    def save(
        self,
        folder: str | os.PathLike,
        *,
        labels: LabelSource | None = None,
        points: str | os.PathLike | None = None,
        points_convention: str = "RAS",
    ) -> Path:
        """Write all that `register.py --output_dir` writes: images, transforms, certificate, verdict, picture, report.

        Args:
            folder: output folder, created if it does not exist; files in it are named after BIDS derivatives.
            labels: segmentation of the moving image, which is moved to the fixed grid and written.
            points: table of landmarks of the moving image in millimetres, which are written in the fixed image's space.
            points_convention: world axes of that table, "RAS" or "LPS".

        Returns:
            The folder.

        Raises:
            InputError: a folder that is no path or cannot be written, or an unusable segmentation or table.
        """
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise InputError(f"The folder to save in is a path, such as out; got {folder!r:.200}.")
        if points is not None and not isinstance(points, str | os.PathLike):
            raise InputError(
                f"points is the path of a table of landmarks; got {type(points).__name__}. Landmarks in memory move "
                "by points(points_mm) of the registration."
            )
        start = time.perf_counter() - self.elapsed_seconds
        config = RegisterConfig(
            moving=self.config.moving,
            fixed=self.config.fixed,
            model=self.config.model,
            moving_mask=self.config.moving_mask,
            fixed_mask=self.config.fixed_mask,
            strip_command=self.config.strip_command,
            labels="" if labels is None else source_name(labels, "segmentation"),
            points=os.fspath(points or ""),
            points_convention=points_convention,
            output_dir=os.fspath(folder),
        )
        config = in_output_dir(config, self.settings)
        check_outputs(config, self.settings, self.fixed.grid.ndim)
        check_planes(config, self.moving, self.fixed)
        along = read_along(self.moving, labels, config.points, points_convention)
        write_outputs(config, self.settings, self, along, multichannel=self.multichannel, start=start)
        return Path(folder)
