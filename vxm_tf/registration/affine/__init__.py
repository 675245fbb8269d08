"""The affine transform between two scans."""
