"""A policy for occystrap: limits for images."""
