"""The time axis of a series of volumes, which NIfTI stores with its unit and MGH in milliseconds."""

import dataclasses

import nibabel
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import SpatialImage

# Unit of time -> seconds. A header without a unit counts in seconds, as most tools take it.
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


@dataclasses.dataclass(frozen=True)
class SeriesTime:
    """Time between the volumes of a series, and the time of the first one.

    Attributes:
        step: time from one volume to the next, in `unit`; for a BOLD series, the repetition time TR.
        unit: NIfTI's name of the unit: "sec", "msec", "usec", "unknown", or "hz", "ppm", "rads" for other axes.
        offset: time of the first volume, in `unit`.
    """

    step: float
    unit: str = "sec"
    offset: float = 0.0

    @property
    def seconds(self) -> float | None:
        """The step in seconds; None for an axis that is not time."""
        return self.step * _SECONDS[self.unit] if self.unit in _SECONDS else None


def time_of(image: SpatialImage | None) -> SeriesTime | None:
    """The time axis in the header of an image; None where the header has none."""
    header = getattr(image, "header", None)
    if not isinstance(header, nibabel.Nifti1Header | MGHHeader) or len(header.get_zooms()) < 4:
        return None
    step = float(header.get_zooms()[3])
    if isinstance(header, MGHHeader):
        # Seconds, as nearly every NIfTI series counts; 0 is FreeSurfer's unknown TR.
        return SeriesTime(step / 1000.0) if step > 0 else None
    return SeriesTime(step, header.get_xyzt_units()[1], float(header["toffset"]))


def set_time(image: nibabel.Nifti1Image | nibabel.MGHImage, time: SeriesTime | None) -> None:
    """Write the time axis of a series into the header of an image with four axes or more.

    NIfTI stores a step of 1 where the time is unknown. MGH holds no time of the first volume.
    """
    header = image.header
    spatial = header.get_zooms()[:3]
    if isinstance(header, MGHHeader):
        seconds = time.seconds if time else None
        header.set_zooms((*spatial, 1000.0 * (seconds or 0.0)))
        return
    header.set_zooms((*spatial, time.step if time else 1.0, *header.get_zooms()[4:]))
    if time:
        header.set_xyzt_units(header.get_xyzt_units()[0], time.unit)
        header["toffset"] = time.offset
