"""Scale of the 16-bit pixels of `register_bytes`, shared by its graph and by clients without TensorFlow."""

# displacement = (stored - ZERO) / STEPS_PER_VOXEL, so within 1/256 voxel up to 255 voxels.
STEPS_PER_VOXEL = 128.0
ZERO = 32768
LARGEST = 65535
