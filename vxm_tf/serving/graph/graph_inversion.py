"""The inverse of a displacement, solved in a graph: `vxm_tf.spatial.inversion` for fields in voxels of one grid."""

import tensorflow as tf

from vxm_tf import ops

# In voxels. A network's own inverse, exp(-v), misses by 0.2 on average where the velocity lies on a coarser grid.
TOLERANCE = 0.02
STEPS = 10


def solved_inverse(displacement: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """The displacement w with w(y) + u(y + w(y)) = 0, for a displacement u.

    Fixed-point iteration w <- w - (w + u o w) (Chen et al., Medical Physics 2008) until every voxel is solved, at most
    10 times. A voxel takes a step only if its residual shrinks, and tries half of it next otherwise; so where u folds,
    the best of the values that were tried remains, and no voxel gets worse than `start`.

    Args:
        displacement: u, float32 `[batch, *spatial, ndim]`, in voxels.
        start: a first guess of w, of equal shape, such as exp(-v) for u = exp(v).

    Returns:
        w, float32 `[batch, *spatial, ndim]`, in voxels.
    """

    def wanted(inverse: tf.Tensor, error: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
        return tf.reduce_max(_length(error)) > TOLERANCE

    def improve(inverse: tf.Tensor, error: tf.Tensor, share: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        trial = inverse - share * error
        trial_error = ops.compose(displacement, trial)
        better = _length(trial_error) < _length(error)
        return (
            tf.where(better, trial, inverse),
            tf.where(better, trial_error, error),
            tf.where(better, share, share / 2.0),
        )

    error = ops.compose(displacement, start)
    state = (start, error, tf.ones_like(start[..., :1]))
    return tf.while_loop(wanted, improve, state, maximum_iterations=STEPS, parallel_iterations=1)[0]


def _length(vectors: tf.Tensor) -> tf.Tensor:
    return tf.norm(vectors, axis=-1, keepdims=True)
