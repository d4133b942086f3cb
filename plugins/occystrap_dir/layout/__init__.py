"""layout://, an OCI image layout in a directory (image-spec image-layout.md)."""
