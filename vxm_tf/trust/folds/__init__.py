"""Certificates that state whether a transform folds, and the repair of one that does."""
