"""Images copied by the workers of a Dask cluster."""
