"""Checking an image: rules with stable ids (docs/checks.md), and the code that applies them."""
