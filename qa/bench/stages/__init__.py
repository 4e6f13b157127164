"""The cost of a payment at each stage, beside the limit of that stage: `python -m qa.bench.stages --help`."""
