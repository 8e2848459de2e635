"""What a run is seen by: receipts, progress, forecasts, its graph, and its text as it comes."""
