"""`python -m simulator` is the console script `simulator`."""

from simulator.cli import main

main()
