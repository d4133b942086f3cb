"""Reading and rewriting the tars of layers."""
