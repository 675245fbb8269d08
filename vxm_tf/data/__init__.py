"""Scans from files, prepared as batches for training."""

from vxm_tf.data.atlas import Atlas, open_atlas
from vxm_tf.data.catalogue import find_scans, split_scans
from vxm_tf.data.normalization import NORMALIZATIONS, normalize
from vxm_tf.data.pairs import atlas_pairs, listed_pairs, ordered_pairs, training_pairs
from vxm_tf.data.pipeline import image_pair, label_pair, synthetic_dataset, training_dataset
from vxm_tf.data.scan_lists import read_list, read_pairs
from vxm_tf.data.scan_names import Scan, told_apart
from vxm_tf.data.scan_store import ScanStore
from vxm_tf.data.warping import warp_array, warp_labels

__all__ = [
    "NORMALIZATIONS",
    "Atlas",
    "Scan",
    "ScanStore",
    "atlas_pairs",
    "find_scans",
    "image_pair",
    "label_pair",
    "listed_pairs",
    "normalize",
    "open_atlas",
    "ordered_pairs",
    "read_list",
    "read_pairs",
    "split_scans",
    "synthetic_dataset",
    "told_apart",
    "training_dataset",
    "training_pairs",
    "warp_array",
    "warp_labels",
]
