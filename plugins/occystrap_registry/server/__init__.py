"""The embedded registry: an OCI distribution server that streams to disk."""
