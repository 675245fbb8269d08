"""The structures of the OASIS brains that are scored, by FreeSurfer's ids."""

BRAIN_LABELS = (4, 43, 14, 15, 10, 49, 11, 50, 12, 51, 13, 52, 17, 53, 18, 54, 26, 58, 28, 60, 16, 8, 47, 7, 46, 3, 42)
