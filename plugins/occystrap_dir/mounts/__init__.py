"""mounts://, a directory for each layer in the form that overlayfs wants, shared between images."""
