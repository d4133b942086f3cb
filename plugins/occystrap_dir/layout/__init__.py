"""layout://, an OCI image layout in a folder (image-spec image-layout.md)."""
