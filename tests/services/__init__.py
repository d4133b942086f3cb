"""Real services for the tests and the benchmarks: each starts as a context manager and cleans up behind itself."""
