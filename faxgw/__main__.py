"""`python -m faxgw`."""

from faxgw.cli import main

main()
