"""A client of the distribution API: blobs, manifests, referrers, tags."""
