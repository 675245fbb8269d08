"""The check, before long work, that scans can be laid on each other, and what the log says of how that is done."""

from collections.abc import Collection, Sequence

from absl import logging

from vxm_tf.data.atlas import Atlas
from vxm_tf.data.pair_grid import check_common_place
from vxm_tf.data.scan_store import ScanStore
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.grid import Grid, same_grid
from vxm_tf.spatial.headers import says_same


def check_grids(store: ScanStore, pairs: Collection[Sequence[int]] | None = None, atlas: Atlas | None = None) -> None:
    """Check that scans can be laid on each other, and log it where their grids differ.

    Args:
        store: the scans.
        pairs: the pairs (moving, fixed) that will be laid on each other, a negative index for the atlas; None for every
            scan on every other one and on the atlas.
        atlas: the atlas, if there is one.

    Raises:
        InputError: two scans without a common place in world space, or of different voxel sizes and one of them in a
            file that states no position.
    """
    rows = [(str(scan.image), store.image(k), store.grid(k), store.spacing_mm(k)) for k, scan in enumerate(store.scans)]
    if atlas is not None:
        # The last row, which a negative index means.
        rows.append((atlas.name, atlas.image, atlas.grid, atlas.spacing_mm))
    names, images, grids, spacings = zip(*rows)
    if len({image.ndim for image in images}) > 1:
        return
    placed = [(name, grid) for name, grid in zip(names, grids) if grid is not None]
    others = [name for name, grid in placed if not same_grid(grid, placed[0][1])]
    groups = [tuple(range(len(rows)))] if pairs is None else sorted({(int(m), int(f)) for m, f in pairs})
    for group in groups if others else ():
        check_common_place([(names[k], grids[k]) for k in group])
    for group in groups if len(placed) < len(rows) else ():
        _check_unplaced([(names[k], grids[k], spacings[k]) for k in group])
    if others:
        logging.warning(
            "%d of %d scans lie on another grid than %s, such as %s: each pair is laid on the voxels of its fixed scan "
            "through the headers. Scans that were resampled onto one grid beforehand are quicker.",
            len(others), len(rows), placed[0][0], others[0],
        )  # fmt: skip
    unplaced = [name for name, grid in zip(names, grids) if grid is None]
    if unplaced and placed:
        logging.warning(
            "%d of %d scans state no position in space, such as %s: laid voxel on voxel on the others.",
            len(unplaced), len(rows), unplaced[0],
        )  # fmt: skip
    if unplaced and len({image.shape for image in images}) > 1:
        logging.warning(
            "%d of %d scans state no position in space, such as %s, and shapes differ: their pairs are centred on each "
            "other.",
            len(unplaced), len(rows), unplaced[0],
        )  # fmt: skip


def _check_unplaced(scans: Sequence[tuple[str, Grid | None, tuple[float, ...] | None]]) -> None:
    bare, bare_spacing = next(
        ((name, spacing) for name, grid, spacing in scans if grid is None and spacing), ("", None)
    )
    for name, _, spacing in scans:
        if bare_spacing and spacing and not says_same(spacing, bare_spacing):
            raise InputError(
                f"{bare} has voxels of {bare_spacing} mm, {name} of {spacing} mm, and the first does not say where it "
                "lies in space, so they cannot be laid on each other. Resample them onto one grid first."
            )
