"""oci://, a bundle that runc and crun run."""
