"""Fax over IP, sans-IO: SIP, SDP, UDPTL, RTP and the T.38 and T.30 frames. Imports nothing of faxgw."""
