"""Archives in the making."""
