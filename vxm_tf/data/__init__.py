"""Scans from files, prepared as batches for training."""

from vxm_tf.data.catalogue import Scan, find_scans, read_list, split_scans
from vxm_tf.data.normalization import NORMALIZATIONS, normalize
from vxm_tf.data.pairs import atlas_pairs, ordered_pairs, training_pairs
from vxm_tf.data.pipeline import image_pair, synthetic_dataset, training_dataset
from vxm_tf.data.scan_store import ScanStore
from vxm_tf.data.warping import warp_array, warp_labels

__all__ = [
    "NORMALIZATIONS",
    "Scan",
    "ScanStore",
    "atlas_pairs",
    "find_scans",
    "image_pair",
    "normalize",
    "ordered_pairs",
    "read_list",
    "split_scans",
    "synthetic_dataset",
    "training_dataset",
    "training_pairs",
    "warp_array",
    "warp_labels",
]
