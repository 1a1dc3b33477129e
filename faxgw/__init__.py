"""faxgw: a fax gateway. Mail in, a SIP/T.38 call out, the truth back to the sender."""

__version__ = "0.1.0"
