"""Credentials as users have them: given for a run, in files of docker and Podman, kept by helper programs."""
