"""The command vxm-register, from a checkout."""

from vxm_tf.cli.register import main

if __name__ == "__main__":
    main()
