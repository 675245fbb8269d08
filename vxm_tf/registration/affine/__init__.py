"""Affine registration of two scans."""
