"""Other tools' transform files, a reader and a writer for each; `vxm_tf.spatial.transform_files` chooses among them."""
