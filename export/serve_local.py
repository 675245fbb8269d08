"""The command vxm-serve, from a checkout: `python export/serve_local.py --model_base_path D`."""

import sys
from pathlib import Path

# A script's own folder is on the path, the checkout's root above it is not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vxm_tf.cli.serve import main

if __name__ == "__main__":
    main()
