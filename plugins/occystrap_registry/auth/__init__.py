"""Authorization of requests: challenges, tokens, and the grants of a run."""
