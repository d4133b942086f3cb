"""Unpacking layers into files: one extractor for all destinations, which no image can lead out of the destination."""
