"""The distribution API as a client speaks it: blobs, manifests, referrers, tags."""
