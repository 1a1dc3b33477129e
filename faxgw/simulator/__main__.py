"""`python -m faxgw.simulator`: the park of fax machines as a process (docs/simulator.md)."""

from faxgw.simulator.program import main

if __name__ == "__main__":
    main()
