"""Readers and writers of other tools' transform files; `vxm_tf.spatial.transform_files` chooses among them."""
