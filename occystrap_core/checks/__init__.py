"""What may be wrong with an image: rules with stable ids (docs/checks.md), and what holds images against them."""
