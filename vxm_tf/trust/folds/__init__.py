"""Whether a transform folds, stated by a certificate, and mending one that does."""
