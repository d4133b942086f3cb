"""The image layout under a prefix: its keys, its blobs, and the records of its images."""
