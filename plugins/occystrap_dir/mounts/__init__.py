"""mounts://, a directory for each layer for overlayfs, shared between images."""
