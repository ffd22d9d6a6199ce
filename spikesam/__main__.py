"""`python -m spikesam COMMAND`: what the console script `spikesam` does."""

from spikesam.pipeline.cli.main import main

main()
