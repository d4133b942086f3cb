"""Finding plugins, and the inputs, filters and writers that a user's words mean."""
