"""The command vxm-train, from a checkout."""

from vxm_tf.cli.train import main

if __name__ == "__main__":
    main()
