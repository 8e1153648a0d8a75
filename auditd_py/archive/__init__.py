"""Events kept for years as Parquet files, which engines of all kinds read."""
