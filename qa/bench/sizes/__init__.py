"""What grows with the number of payments ever made, in the whole of the programs: `python -m qa.bench.sizes --help`."""
