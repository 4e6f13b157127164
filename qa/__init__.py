"""What proves the product and does not ship: load, chaos, benchmarks, routing simulation."""
