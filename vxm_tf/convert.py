"""`python -m vxm_tf.convert OLD.h5 NEW.keras`, the command vxm-convert."""

from vxm_tf.cli.convert import main

if __name__ == "__main__":
    main()
