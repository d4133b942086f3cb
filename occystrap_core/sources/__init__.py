"""Sources that name other sources: lists of references and plans."""
