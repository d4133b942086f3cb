"""Writing new archives."""
