"""Finding plugins, and resolving URIs and filters to their inputs, filters and writers."""
