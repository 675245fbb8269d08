"""The command vxm-evaluate, from a checkout."""

from vxm_tf.cli.evaluate import main

if __name__ == "__main__":
    main()
