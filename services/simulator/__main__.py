"""`python -m simulator` is the console script `simulator`."""

from tollgate.simulator.cli import main

main()
