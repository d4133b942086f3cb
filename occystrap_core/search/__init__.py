"""Finding entries in all layers of an image, and which version of each counts."""
