"""Registration of two files: they are read and registered, and every requested output is written."""

import dataclasses
import time

from vxm_tf.files.errors import InputError
from vxm_tf.models import load_model
from vxm_tf.registration import RegistrationSettings, register_images
from vxm_tf.workflows.output_names import in_output_dir
from vxm_tf.workflows.outputs import check_outputs, write_outputs
from vxm_tf.workflows.register_config import NO_MODEL, RegisterConfig
from vxm_tf.workflows.registered_pair import RegisteredPair
from vxm_tf.workflows.registration_inputs import check_calibrated, is_multichannel, read_along, read_inputs

PAIRED = (("labels", "moved_labels"), ("points", "moved_points"))


def register_files(config: RegisterConfig, settings: RegistrationSettings | None = None) -> RegisteredPair:
    """Register two files and write every requested output, report and picture included.

    Args:
        config: the files to read and to write.
        settings: settings of the registration; the defaults of `RegistrationSettings` if None. A map that `config`
            names is computed whether or not the settings request it.

    Raises:
        InputError: input that cannot be used, images that do not overlap, or a place that cannot be written.
    """
    start = time.perf_counter()
    settings = _with_maps(settings or RegistrationSettings(), config)
    _check_paired(config)
    if config.output_dir:
        config = in_output_dir(config, settings)
    check_outputs(config, settings)
    network = None if config.model == NO_MODEL else load_model(config.model)
    check_calibrated(network, settings, config.model)
    inputs = read_inputs(
        config.moving,
        config.fixed,
        network,
        moving_mask=config.moving_mask or None,
        fixed_mask=config.fixed_mask or None,
        strip_command=config.strip_command,
        config=config,
    )
    check_outputs(config, settings, inputs.fixed.grid.ndim)
    along = read_along(inputs.moving, config.labels or None, config.points, config.points_convention)
    result = register_images(inputs.moving, inputs.fixed, network, settings, masks=inputs.masks)
    multichannel = is_multichannel(network)
    write_outputs(config, settings, result, along, multichannel=multichannel, start=start)
    return RegisteredPair.of(result, config, settings, multichannel, time.perf_counter() - start)


def _with_maps(settings: RegistrationSettings, config: RegisterConfig) -> RegistrationSettings:
    return dataclasses.replace(
        settings,
        uncertainty=settings.uncertainty or bool(config.uncertainty),
        error_bound=settings.error_bound or bool(config.error_bound),
    )


def _check_paired(config: RegisterConfig) -> None:
    for first, second in PAIRED:
        given = bool(getattr(config, first)), bool(getattr(config, second))
        if given[0] != given[1] and not (config.output_dir and given[0]):
            raise InputError(f"--{first} and --{second} belong together: what to move, and where to write it.")
