"""Verdicts on registrations, from the images and the displacement alone, without labels."""
