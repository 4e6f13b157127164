"""Programs that test and measure the product and do not ship: load, chaos, benchmarks, routing simulation."""
