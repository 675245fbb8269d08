"""Files in, batches out."""

from vxm_tf.data.catalogue import Scan, find_scans, read_list, split_scans
from vxm_tf.data.label_maps import LabelMaps, find_label_maps
from vxm_tf.data.normalization import NORMALIZATIONS, normalize
from vxm_tf.data.pairs import atlas_pairs, ordered_pairs, training_pairs
from vxm_tf.data.pipeline import image_pair, synthetic_dataset, training_dataset
from vxm_tf.data.scan_store import ScanStore
from vxm_tf.data.synthesis import SynthesisConfig, synthetic_pair
from vxm_tf.files.errors import VolumeError
from vxm_tf.files.volumes import Volume, read_image, read_labels
from vxm_tf.files.writing import write_volume

__all__ = [
    "LabelMaps",
    "NORMALIZATIONS",
    "Scan",
    "ScanStore",
    "SynthesisConfig",
    "Volume",
    "VolumeError",
    "atlas_pairs",
    "find_label_maps",
    "find_scans",
    "image_pair",
    "normalize",
    "ordered_pairs",
    "read_image",
    "read_labels",
    "read_list",
    "split_scans",
    "synthetic_dataset",
    "synthetic_pair",
    "training_dataset",
    "training_pairs",
    "write_volume",
]
