"""Who we are to a registry: credentials as users keep them, tokens as servers grant them."""
