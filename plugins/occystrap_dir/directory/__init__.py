"""dir://, directories in the layout of docker save."""
