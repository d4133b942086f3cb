"""The image layout below a prefix: its keys, its blobs, and the records of its images."""
