"""Images and label maps that nobody scanned: phantoms, random contrasts, random deformations."""
