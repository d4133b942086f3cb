"""Layers made into files: one extractor for all destinations that unpack; nothing in an image leads it astray."""
