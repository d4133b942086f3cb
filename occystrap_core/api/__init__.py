"""The contracts of plugins: hooks, declarations, and what inputs, filters and writers must do."""
