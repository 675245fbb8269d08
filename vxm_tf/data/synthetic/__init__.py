"""Synthetic images and label maps: phantoms, random contrasts, random deformations."""
